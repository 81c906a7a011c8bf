// SPDX-License-Identifier: MIT
// Images by libpng and libjpeg; PGM and PPM by hand.
#include "examples/common/pictures/image.h"

#include <fmt/format.h>
#include <jpeglib.h>
#include <png.h>

#include <algorithm>
#include <cctype>
#include <csetjmp>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <sstream>

#include "tapeloop/autograd/tensor/error.h"

namespace common {

using namespace tapeloop;

namespace {

constexpr std::int64_t kMostPixels = std::int64_t{1} << 26;

[[noreturn]] void fail_image(const std::string& path, const std::string& why) {
  throw FileError(fmt::format("{} {}", path, why));
}

void check_size(const std::string& path, std::int64_t height, std::int64_t width) {
  if (height < 1 || width < 1 || height > kMostPixels / width) {
    fail_image(path,
               fmt::format("has {} x {} pixels, expected 1 to {}", height, width, kMostPixels));
  }
}

Image sized(std::int64_t height, std::int64_t width, std::int64_t channels) {
  return {height, width, channels,
          std::vector<std::uint8_t>(static_cast<std::size_t>(height * width * channels))};
}

// libpng's simple interface converts palettes, depths and transparency.
Image read_png(const std::string& path, const std::string& bytes) {
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  const std::unique_ptr<png_image, void (*)(png_image*)> freed(&png, png_image_free);
  if (png_image_begin_read_from_memory(&png, bytes.data(), bytes.size()) == 0) {
    fail_image(path, fmt::format("is a damaged PNG: {}", png.message));
  }
  check_size(path, png.height, png.width);
  const bool colour = (png.format & PNG_FORMAT_FLAG_COLOR) != 0;
  png.format = colour ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
  Image image = sized(png.height, png.width, colour ? 3 : 1);
  const png_color white{255, 255, 255};
  if (png_image_finish_read(&png, &white, image.pixels.data(), 0, nullptr) == 0) {
    fail_image(path, fmt::format("is a damaged PNG: {}", png.message));
  }
  return image;
}

// libjpeg ends the process on an error unless its handler jumps away. Only that function has the
// jump, and no object with a destructor.
struct JpegErrors {
  jpeg_error_mgr manager;
  std::jmp_buf back;
  char message[JMSG_LENGTH_MAX];
};
[[noreturn]] void jump_back(j_common_ptr info) {
  auto* const errors = reinterpret_cast<JpegErrors*>(info->err);
  info->err->format_message(info, errors->message);
  std::longjmp(errors->back, 1);
}
void refuse_warning(j_common_ptr info, int level) {
  if (level < 0) jump_back(info);  // such as a file that ends too early
}

// Reads the header if `pixels` is null, else all. Returns false after an error.
bool decode_jpeg(const std::string& bytes, JpegErrors& errors, Image& size, std::uint8_t* pixels) {
  jpeg_decompress_struct info{};
  info.err = jpeg_std_error(&errors.manager);
  errors.manager.error_exit = jump_back;
  errors.manager.emit_message = refuse_warning;
  if (setjmp(errors.back) != 0) {
    jpeg_destroy_decompress(&info);
    return false;
  }
  jpeg_create_decompress(&info);
  jpeg_mem_src(&info, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  jpeg_read_header(&info, TRUE);
  info.out_color_space = info.num_components == 1 ? JCS_GRAYSCALE : JCS_RGB;
  size.height = info.image_height, size.width = info.image_width;
  size.channels = info.num_components == 1 ? 1 : 3;
  if (pixels != nullptr) {
    jpeg_start_decompress(&info);
    while (info.output_scanline < info.output_height) {
      JSAMPROW row = pixels + std::size_t{info.output_scanline} * info.output_width *
                                  static_cast<std::size_t>(size.channels);
      jpeg_read_scanlines(&info, &row, 1);
    }
    jpeg_finish_decompress(&info);
  }
  jpeg_destroy_decompress(&info);
  return true;
}

Image read_jpeg(const std::string& path, const std::string& bytes) {
  const auto errors = std::make_unique<JpegErrors>();
  Image size;
  const auto fail_jpeg = [&] {
    fail_image(path, fmt::format("is a damaged JPEG: {}", errors->message));
  };
  if (!decode_jpeg(bytes, *errors, size, nullptr)) fail_jpeg();
  check_size(path, size.height, size.width);
  Image image = sized(size.height, size.width, size.channels);
  if (!decode_jpeg(bytes, *errors, size, image.pixels.data())) fail_jpeg();
  return image;
}

// P5 and P6: three numbers with blanks and comments, one blank, the bytes.
Image read_pnm(const std::string& path, const std::string& bytes) {
  std::size_t at = 2;
  const auto number = [&] {
    while (at < bytes.size() &&
           (std::isspace(static_cast<unsigned char>(bytes[at])) != 0 || bytes[at] == '#')) {
      if (bytes[at] == '#') at = std::min(bytes.find('\n', at), bytes.size() - 1);
      ++at;
    }
    std::int64_t result = -1;
    while (at < bytes.size() && std::isdigit(static_cast<unsigned char>(bytes[at])) != 0 &&
           result < kMostPixels) {
      result = std::max<std::int64_t>(result, 0) * 10 + (bytes[at++] - '0');
    }
    return result;
  };
  const std::int64_t width = number(), height = number(), most = number();
  check_size(path, height, width);
  if (most < 1 || most > 65535) {
    fail_image(path, fmt::format("is a damaged PGM or PPM: its largest value is {}, expected 1 to "
                                 "65535",
                                 most));
  }
  ++at;
  Image image = sized(height, width, bytes[1] == '6' ? 3 : 1);
  const std::size_t wide = most > 255 ? 2 : 1;
  if (bytes.size() < at || bytes.size() - at < image.pixels.size() * wide) {
    fail_image(path,
               fmt::format("is a damaged PGM or PPM: {} bytes of pixels, expected {}",
                           bytes.size() - std::min(at, bytes.size()), image.pixels.size() * wide));
  }
  for (std::size_t i = 0; i < image.pixels.size(); ++i) {
    std::int64_t value = 0;
    for (std::size_t k = 0; k < wide; ++k)
      value = value << 8 | static_cast<unsigned char>(bytes[at + i * wide + k]);
    image.pixels[i] = static_cast<std::uint8_t>((std::min(value, most) * 255 + most / 2) / most);
  }
  return image;
}

}  // namespace

Image read_image(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  if (!file || !(content << file.rdbuf())) fail_image(path, "cannot be read, or is empty");
  return decode_image(std::move(content).str(), path);
}

Image decode_image(const std::string& bytes, const std::string& path) {
  if (bytes.starts_with("\x89PNG")) return read_png(path, bytes);
  if (bytes.starts_with("\xff\xd8")) return read_jpeg(path, bytes);
  if (bytes.starts_with("P5") || bytes.starts_with("P6")) return read_pnm(path, bytes);
  fail_image(path, "is no image of a known format; expected PNG, JPEG, PGM (P5) or PPM (P6)");
}

Image read_image(const std::string& path, std::int64_t channels) {
  const Image image = read_image(path);
  if (image.channels == channels) return image;
  Image result = sized(image.height, image.width, channels);
  for (std::size_t i = 0; i < static_cast<std::size_t>(image.height * image.width); ++i) {
    if (channels == 1) {  // luminance of Rec. 601
      const std::uint8_t* const rgb = image.pixels.data() + 3 * i;
      result.pixels[i] =
          static_cast<std::uint8_t>((299 * rgb[0] + 587 * rgb[1] + 114 * rgb[2] + 500) / 1000);
    } else {
      std::fill_n(result.pixels.data() + 3 * i, 3, image.pixels[i]);
    }
  }
  return result;
}

Image resized(const Image& image, std::int64_t height, std::int64_t width) {
  Image result = sized(height, width, image.channels);
  for (std::int64_t row = 0; row < height; ++row) {
    const std::int64_t top = row * image.height / height;
    const std::int64_t bottom = std::max(top + 1, (row + 1) * image.height / height);
    for (std::int64_t column = 0; column < width; ++column) {
      const std::int64_t left = column * image.width / width;
      const std::int64_t right = std::max(left + 1, (column + 1) * image.width / width);
      for (std::int64_t channel = 0; channel < image.channels; ++channel) {
        std::int64_t sum = 0;
        const std::int64_t count = (bottom - top) * (right - left);
        for (std::int64_t r = top; r < bottom; ++r) {
          for (std::int64_t c = left; c < right; ++c) sum += image.at(r, c, channel);
        }
        result.at(row, column, channel) = static_cast<std::uint8_t>((sum + count / 2) / count);
      }
    }
  }
  return result;
}

std::string png_of(const Image& image) {
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  png.width = static_cast<png_uint_32>(image.width);
  png.height = static_cast<png_uint_32>(image.height);
  png.format = image.channels == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
  png_alloc_size_t size = 0;
  if (png_image_write_to_memory(&png, nullptr, &size, 0, image.pixels.data(), 0, nullptr) != 0) {
    std::string result(size, '\0');
    if (png_image_write_to_memory(&png, result.data(), &size, 0, image.pixels.data(), 0, nullptr) !=
        0) {
      result.resize(size);
      return result;
    }
  }
  throw Error(fmt::format("an image of {} x {} pixels cannot become a PNG: {}", image.height,
                          image.width, png.message));
}

std::string data_uri_of(const Image& image) {
  constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const std::string png = png_of(image);
  std::string text = "data:image/png;base64,";
  for (std::size_t i = 0; i < png.size(); i += 3) {
    std::uint32_t bits = 0;
    for (std::size_t k = 0; k < 3; ++k)
      bits = bits << 8 | (i + k < png.size() ? static_cast<unsigned char>(png[i + k]) : 0U);
    for (std::size_t k = 0; k < 4; ++k) {
      text += i + k <= png.size() ? kDigits[bits >> (18 - 6 * k) & 63] : '=';
    }
  }
  return text;
}

}  // namespace common
