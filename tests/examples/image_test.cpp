// SPDX-License-Identifier: MIT
// Images: what is written is read again, in all formats and depths; damaged files; sizes.
#include "examples/common/pictures/image.h"

#include <jpeglib.h>
#include <png.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "examples/common/pictures/idx.h"
#include "tapeloop/autograd/files/files.h"
#include "tests/folder.h"
#include "tests/support.h"

namespace common {
namespace {

using tapeloop::test::contains;
using tapeloop::test::message_of;

Image some(std::int64_t height, std::int64_t width, std::int64_t channels) {
  Image image{height, width, channels, {}};
  for (std::int64_t i = 0; i < height * width * channels; ++i)
    image.pixels.push_back(static_cast<std::uint8_t>(i * 37 % 251));
  return image;
}

// A PNG of any of libpng's formats: 16 bits, alpha, a palette.
std::string png_in(int format, std::int64_t height, std::int64_t width, const void* pixels,
                   const void* palette = nullptr, int colours = 0) {
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  png.height = static_cast<png_uint_32>(height), png.width = static_cast<png_uint_32>(width);
  png.format = static_cast<png_uint_32>(format);
  png.colormap_entries = static_cast<png_uint_32>(colours);
  png_alloc_size_t size = 0;
  REQUIRE(png_image_write_to_memory(&png, nullptr, &size, 0, pixels, 0, palette) != 0);
  std::string result(size, '\0');
  REQUIRE(png_image_write_to_memory(&png, result.data(), &size, 0, pixels, 0, palette) != 0);
  return result;
}

std::string jpeg_of(const Image& image) {
  jpeg_compress_struct info{};
  jpeg_error_mgr errors{};
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* bytes = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&info, &bytes, &size);
  info.image_height = static_cast<JDIMENSION>(image.height);
  info.image_width = static_cast<JDIMENSION>(image.width);
  info.input_components = static_cast<int>(image.channels);
  info.in_color_space = image.channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_set_defaults(&info);
  jpeg_set_quality(&info, 100, TRUE);
  jpeg_start_compress(&info, TRUE);
  std::vector<std::uint8_t> pixels = image.pixels;
  while (info.next_scanline < info.image_height) {
    JSAMPROW row = pixels.data() + static_cast<std::size_t>(info.next_scanline) *
                                       static_cast<std::size_t>(image.width * image.channels);
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  std::string result(reinterpret_cast<char*>(bytes), size);
  jpeg_destroy_compress(&info);
  std::free(bytes);
  return result;
}

TEST_CASE("a PNG that is written is read again") {
  const tapeloop::test::Folder folder;
  for (const std::int64_t channels : {1, 3}) {
    const Image image = some(5, 7, channels);
    tapeloop::write_file(folder.file(), png_of(image));
    const Image again = read_image(folder.file());
    CHECK(again.height == 5);
    CHECK(again.width == 7);
    CHECK(again.channels == channels);
    CHECK(again.pixels == image.pixels);
  }
}

TEST_CASE("PNGs of 16 bits, with alpha and with a palette become 8 bits") {
  const std::uint16_t deep[] = {0, 65535};  // linear light
  const Image sixteen = decode_image(png_in(PNG_FORMAT_LINEAR_Y, 1, 2, deep), "x");
  CHECK(sixteen.channels == 1);
  CHECK(sixteen.pixels == std::vector<std::uint8_t>{0, 255});
  const std::uint8_t clear[] = {10, 20, 30, 0, 10, 20, 30, 255};
  const Image alpha = decode_image(png_in(PNG_FORMAT_RGBA, 1, 2, clear), "x");
  CHECK(alpha.pixels == std::vector<std::uint8_t>{255, 255, 255, 10, 20, 30});
  const std::uint8_t palette[] = {1, 2, 3, 200, 100, 50}, indices[] = {1, 0, 1};
  const Image mapped =
      decode_image(png_in(PNG_FORMAT_RGB_COLORMAP, 1, 3, indices, palette, 2), "x");
  CHECK(mapped.pixels == std::vector<std::uint8_t>{200, 100, 50, 1, 2, 3, 200, 100, 50});
}

TEST_CASE("a JPEG is read, and one that ends too early is refused") {
  for (const std::int64_t channels : {1, 3}) {
    Image image{16, 24, channels, {}};
    for (std::int64_t i = 0; i < 16 * 24 * channels; ++i)
      image.pixels.push_back(static_cast<std::uint8_t>(60 + i / (24 * channels) * 8));
    const std::string bytes = jpeg_of(image);
    const Image again = decode_image(bytes, "x.jpg");
    REQUIRE(again.pixels.size() == image.pixels.size());
    CHECK(again.channels == channels);
    for (std::size_t i = 0; i < image.pixels.size(); ++i)
      CHECK(std::abs(again.pixels[i] - image.pixels[i]) <= 3);
    CHECK(contains(message_of([&] { decode_image(bytes.substr(0, bytes.size() / 2), "x.jpg"); }),
                   "x.jpg: this JPEG is damaged or cut off"));
  }
}

TEST_CASE("PGM and PPM, with comments and with two bytes for a value") {
  const Image grey =
      decode_image("P5 # size\n2 1\n# most\n100\n" + std::string("\x00\x64", 2), "x");
  CHECK(grey.pixels == std::vector<std::uint8_t>{0, 255});
  const Image deep =
      decode_image("P6 1 1 65535\n" + std::string("\xff\xff\x00\x00\x80\x00", 6), "x");
  CHECK(deep.pixels == std::vector<std::uint8_t>{255, 0, 128});
}

TEST_CASE("what is no image is refused, with its name") {
  const auto message = [](const std::string& bytes) {
    return message_of([&] { decode_image(bytes, "a.png"); });
  };
  CHECK(contains(message(""), "a.png is no image that can be read"));
  CHECK(contains(message("GIF89a"), "expected PNG, JPEG, PGM or PPM"));
  CHECK(contains(message("P5 2 2 255\nabc"), "3 bytes behind its header do not hold 4 values"));
  CHECK(contains(message("P5 0 2 255\n"), "a.png: the image has 0 x 2 pixels"));
  CHECK(contains(message("P5 100000 100000 255\n"), "100000 x 100000 pixels, expected 1 to"));
  CHECK(contains(message("P6 1 1 0\nabc"), "its largest value is 0"));
  const std::string png = png_of(some(3, 3, 1));
  CHECK(contains(message(png.substr(0, png.size() / 2)), "a.png: this PNG is damaged or cut off"));
  CHECK(contains(message_of([] { read_image("absent/b.png"); }), "absent/b.png: cannot be opened"));
}

TEST_CASE("colours become their luminance, grey becomes three channels") {
  const tapeloop::test::Folder folder;
  tapeloop::write_file(folder.file(), png_of({1, 1, 3, {255, 0, 0}}));
  CHECK(read_image(folder.file(), 1).pixels == std::vector<std::uint8_t>{76});
  tapeloop::write_file(folder.file(), png_of({1, 1, 1, {9}}));
  CHECK(read_image(folder.file(), 3).pixels == std::vector<std::uint8_t>{9, 9, 9});
}

TEST_CASE("a smaller image has means, a larger one copies") {
  const Image image{2, 4, 1, {0, 10, 20, 30, 40, 50, 60, 70}};
  CHECK(resized(image, 1, 2).pixels == std::vector<std::uint8_t>{25, 45});
  CHECK(resized(image, 2, 4).pixels == image.pixels);
  CHECK(resized({1, 2, 1, {3, 9}}, 2, 4).pixels ==
        std::vector<std::uint8_t>{3, 3, 9, 9, 3, 3, 9, 9});
}

TEST_CASE("the text for an SVG is base64") {
  const std::string text = data_uri_of(some(2, 2, 1)), png = png_of(some(2, 2, 1));
  CHECK(text.starts_with("data:image/png;base64,iVBORw0KGgo"));
  CHECK((text.size() - 22) % 4 == 0);
  CHECK((text.size() - 22) / 4 == (png.size() + 2) / 3);
  CHECK(text.ends_with("=") == (png.size() % 3 != 0));
}

}  // namespace
}  // namespace common
