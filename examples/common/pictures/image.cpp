// SPDX-License-Identifier: MIT
// PGM and PPM, sizes and channels of images, PNG by zlib.
#include "examples/common/pictures/image.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <string_view>

#include "tapeloop/autograd/files/files.h"
#include "tapeloop/autograd/tensor/error.h"

namespace common {

using tapeloop::FileError;

namespace {

constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 28;

// The numbers of a header or a text of PGM and PPM. Comments go from # to the end of the line.
class Numbers {
 public:
  Numbers(const std::string& bytes, const std::string& path) : bytes_(bytes), path_(path) {}
  std::int64_t next(std::int64_t most) {
    while (place < bytes_.size() && (is_space(bytes_[place]) || bytes_[place] == '#')) {
      if (bytes_[place] == '#') place = std::min(bytes_.find('\n', place), bytes_.size() - 1);
      ++place;
    }
    std::int64_t value = -1;
    for (; place < bytes_.size() && bytes_[place] >= '0' && bytes_[place] <= '9'; ++place) {
      value = std::max<std::int64_t>(value, 0) * 10 + (bytes_[place] - '0');
      if (value > most) break;
    }
    if (value < 0 || value > most) {
      throw FileError(
          fmt::format("{}: byte {} of this PGM or PPM file: expected a number of 0 to "
                      "{}; the file is damaged or cut off",
                      path_, place, most));
    }
    return value;
  }
  std::size_t place = 2;  // behind the P and its digit

 private:
  static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
  const std::string& bytes_;
  const std::string& path_;
};

Image decode_pnm(const std::string& bytes, const std::string& path) {
  const char kind = bytes[1];
  const bool text = kind == '2' || kind == '3';
  Image image;
  image.channels = kind == '3' || kind == '6' ? 3 : 1;
  Numbers numbers(bytes, path);
  image.width = numbers.next(1 << 26);
  image.height = numbers.next(1 << 26);
  const std::int64_t largest = numbers.next(65535);
  detail::check_size(image.height, image.width, path);
  if (largest < 1) throw FileError(fmt::format("{}: its largest value is 0", path));
  const auto count = static_cast<std::size_t>(image.height * image.width * image.channels);
  const std::size_t each = largest > 255 ? 2 : 1, start = numbers.place + 1;
  const std::size_t rest = bytes.size() > start ? bytes.size() - start : 0;
  if (rest < (text ? 2 * count - 1 : each * count)) {
    throw FileError(
        fmt::format("{}: {} bytes behind its header do not hold {} values; the file is "
                    "cut off",
                    path, rest, count));
  }
  image.pixels.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    std::int64_t value = 0;
    if (text) {
      value = numbers.next(largest);
    } else {
      for (std::size_t k = 0; k < each; ++k)
        value = value << 8 | static_cast<unsigned char>(bytes[start + i * each + k]);
    }
    value = (std::min(value, largest) * 255 + largest / 2) / largest;
    image.pixels.push_back(static_cast<std::uint8_t>(value));
  }
  return image;
}

// For PNG: a chunk with its length in front, and its checksum behind.
void add_number(std::string& to, std::size_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) to += static_cast<char>(value >> shift & 255);
}
void add_chunk(std::string& to, const std::string& name_and_data) {
  add_number(to, name_and_data.size() - 4);
  to += name_and_data;
  add_number(to, crc32(0, reinterpret_cast<const Bytef*>(name_and_data.data()),
                       static_cast<uInt>(name_and_data.size())));
}

}  // namespace

void detail::check_size(std::int64_t height, std::int64_t width, const std::string& path) {
  constexpr std::int64_t kMost = 1 << 26;
  if (height < 1 || width < 1 || height > kMost / width) {
    throw FileError(
        fmt::format("{}: the image has {} x {} pixels, expected 1 to {} of them; give "
                    "a smaller one",
                    path, width, height, kMost));
  }
}

Image decode_image(const std::string& bytes, const std::string& path) {
  const std::string_view start(bytes);
  if (start.starts_with("\x89PNG\r\n\x1a\n")) return detail::decode_png(bytes, path);
  if (start.starts_with("\xff\xd8\xff")) return detail::decode_jpeg(bytes, path);
  if (start.size() > 2 && start[0] == 'P' && std::string_view("2356").find(start[1]) != start.npos)
    return decode_pnm(bytes, path);
  throw FileError(
      fmt::format("{} is no image that can be read: expected PNG, JPEG, PGM or PPM; "
                  "convert it to one of these",
                  path));
}

Image read_image(const std::string& path) {
  return decode_image(tapeloop::read_file(path, kMostBytes), path);
}

Image read_image(const std::string& path, std::int64_t channels) {
  return with_channels(read_image(path), channels);
}

Image with_channels(const Image& image, std::int64_t channels) {
  if (image.channels == channels) return image;
  Image result{.height = image.height, .width = image.width, .channels = channels, .pixels = {}};
  const auto count = static_cast<std::size_t>(image.height * image.width);
  for (std::size_t i = 0; i < count; ++i) {
    if (channels == 3) {
      result.pixels.insert(result.pixels.end(), 3, image.pixels[i]);
    } else {
      const std::uint8_t* rgb = image.pixels.data() + 3 * i;  // the weights of ITU-R BT.601
      result.pixels.push_back(
          static_cast<std::uint8_t>((299 * rgb[0] + 587 * rgb[1] + 114 * rgb[2] + 500) / 1000));
    }
  }
  return result;
}

Image resized(const Image& image, std::int64_t height, std::int64_t width) {
  if (image.height == height && image.width == width) return image;
  Image result{.height = height, .width = width, .channels = image.channels, .pixels = {}};
  result.pixels.reserve(static_cast<std::size_t>(height * width * image.channels));
  for (std::int64_t r = 0; r < height; ++r) {
    const std::int64_t top = r * image.height / height;
    const std::int64_t bottom = std::max(top + 1, (r + 1) * image.height / height);
    for (std::int64_t c = 0; c < width; ++c) {
      const std::int64_t left = c * image.width / width;
      const std::int64_t right = std::max(left + 1, (c + 1) * image.width / width);
      const std::int64_t count = (bottom - top) * (right - left);
      for (std::int64_t k = 0; k < image.channels; ++k) {
        std::int64_t total = 0;
        for (std::int64_t y = top; y < bottom; ++y)
          for (std::int64_t x = left; x < right; ++x) total += image.at(y, x, k);
        result.pixels.push_back(static_cast<std::uint8_t>((total + count / 2) / count));
      }
    }
  }
  return result;
}

std::string png_of(const Image& image) {
  const auto line = static_cast<std::size_t>(image.width * image.channels);
  std::string rows;
  for (std::int64_t r = 0; r < image.height; ++r) {
    rows += '\0';  // no filter
    const auto* from = reinterpret_cast<const char*>(image.pixels.data());
    rows.append(from + static_cast<std::size_t>(r) * line, line);
  }
  uLongf length = compressBound(static_cast<uLong>(rows.size()));
  std::string packed(length, '\0');
  compress2(reinterpret_cast<Bytef*>(packed.data()), &length,
            reinterpret_cast<const Bytef*>(rows.data()), static_cast<uLong>(rows.size()), 9);
  packed.resize(length);
  std::string header = "IHDR";
  add_number(header, static_cast<std::size_t>(image.width));
  add_number(header, static_cast<std::size_t>(image.height));
  header += {8, static_cast<char>(image.channels == 3 ? 2 : 0), 0, 0, 0};
  std::string result = "\x89PNG\r\n\x1a\n";
  add_chunk(result, header);
  add_chunk(result, "IDAT" + packed);
  add_chunk(result, "IEND");
  return result;
}

std::string data_uri_of(const Image& image) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const std::string png = png_of(image);
  std::string result = "data:image/png;base64,";
  for (std::size_t i = 0; i < png.size(); i += 3) {
    std::uint32_t bits = 0;
    for (std::size_t k = 0; k < 3; ++k)
      bits = bits << 8 | (i + k < png.size() ? static_cast<unsigned char>(png[i + k]) : 0U);
    for (std::size_t k = 0; k < 4; ++k)
      result += i + k <= png.size() ? kDigits[bits >> (18 - 6 * k) & 63] : '=';
  }
  return result;
}

}  // namespace common
