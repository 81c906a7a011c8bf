// SPDX-License-Identifier: MIT
// Images: every format, their damage, sizes, channels, PNG written and read again; IDX files.
#include "examples/common/images/image.h"

#include <doctest/doctest.h>

#include <cstdlib>

#include "examples/common/images/idx.h"
#include "tapeloop/autograd/files/files.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tests/messages.h"

using common::decode_image;
using common::Image;
using tapeloop::FileError;
using tapeloop::test::check_contains;
using tapeloop::test::message_of;

namespace {

std::string bytes_of(const std::string& hex) {
  std::string result;
  for (std::size_t i = 0; i < hex.size(); i += 2)
    result += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return result;
}
std::vector<int> pixels_of(const Image& image) {
  return {image.pixels.begin(), image.pixels.end()};
}
std::string refused(const std::string& bytes) {
  return message_of<FileError>([&] { decode_image(bytes, "t"); });
}

// 16 x 8 pixels: grey 200, then 40.
const std::string kJpeg = bytes_of(
    "ffd8ffe000104a46494600010100000100010000ffdb004300100b0c0e0c0a100e0d0e1211101318"
    "281a181616183123251d283a333d3c3933383740485c4e404457453738506d51575f626768673e4d"
    "71797064785c656763ffc0000b080008001001011100ffc400150001010000000000000000000000"
    "0000000607ffc40014100100000000000000000000000000000000ffda0008010100003f004897bf"
    "ffd9");

}  // namespace

TEST_CASE("image: PGM and PPM, as text and as bytes, of 8 and 16 bits") {
  CHECK(pixels_of(decode_image("P2\n# a comment\n3 1\n10\n0 5 10\n", "t")) ==
        std::vector<int>{0, 128, 255});
  CHECK(pixels_of(decode_image("P5 2 1 255\n\x07\xff", "t")) == std::vector<int>{7, 255});
  CHECK(pixels_of(decode_image("P5 2 1 65535\n\x80\x80\xff\xff", "t")) ==
        std::vector<int>{128, 255});
  const Image colours = decode_image("P6 1 2 255 abcdef", "t");
  CHECK(colours.channels == 3);
  CHECK(colours.height == 2);
  CHECK(colours.at(1, 0, 2) == 'f');
  CHECK(pixels_of(decode_image("P3 1 1 255 1 2 3", "t")) == std::vector<int>{1, 2, 3});
}

TEST_CASE("image: a palette, 16 bits, transparency and single bits of a PNG") {
  CHECK(pixels_of(decode_image(
            bytes_of("89504e470d0a1a0a0000000d4948445200000002000000010803000000c3fc8fb8000000"
                     "06504c54450a141ec8643277a0b39c0000000b4944415478da63606400000005000242c2"
                     "449f0000000049454e44ae426082"),
            "t")) == std::vector<int>{200, 100, 50, 10, 20, 30});
  CHECK(pixels_of(decode_image(
            bytes_of("89504e470d0a1a0a0000000d494844520000000200000001100000000081d9fc15000000"
                     "0d4944415478da636868f8ff1f00068202ff6ce043230000000049454e44ae426082"),
            "t")) == std::vector<int>{128, 255});
  CHECK(pixels_of(decode_image(
            bytes_of("89504e470d0a1a0a0000000d4948445200000002000000010806000000f4227f8a000000"
                     "0f4944415478da63f8cfc000440c0c000cfc01ffe586a8d20000000049454e44ae426082"),
            "t")) == std::vector<int>{255, 0, 0, 255, 255, 255});
  CHECK(pixels_of(decode_image(
            bytes_of("89504e470d0a1a0a0000000d4948445200000003000000010100000000339b2919000000"
                     "0a4944415478da6358000000a200a17105cb410000000049454e44ae426082"),
            "t")) == std::vector<int>{255, 0, 255});
}

TEST_CASE("image: a PNG that was written is read as it was") {
  for (const std::int64_t channels : {1, 3}) {
    Image image{.height = 3, .width = 5, .channels = channels, .pixels = {}};
    for (std::int64_t i = 0; i < 15 * channels; ++i)
      image.pixels.push_back(static_cast<std::uint8_t>(i * 11));
    const std::string png = common::png_of(image);
    const Image again = decode_image(png, "t");
    CHECK(again.height == 3);
    CHECK(again.channels == channels);
    CHECK(again.pixels == image.pixels);
    check_contains(refused(png.substr(0, png.size() - 20)), "t: this PNG is damaged or cut off");
  }
  const Image dot{.height = 1, .width = 1, .channels = 1, .pixels = {0}};
  check_contains(common::data_uri_of(dot), "data:image/png;base64,iVBORw0KGgo");
}

TEST_CASE("image: a JPEG, and one that is cut off") {
  const Image image = decode_image(kJpeg, "t");
  CHECK(image.width == 16);
  CHECK(image.height == 8);
  CHECK(image.channels == 1);
  CHECK(std::abs(image.at(3, 2) - 200) < 4);
  CHECK(std::abs(image.at(3, 13) - 40) < 4);
  check_contains(refused(kJpeg.substr(0, kJpeg.size() - 4)), "t: this JPEG is damaged or cut off");
  check_contains(refused(kJpeg.substr(0, 30)), "t: this JPEG is damaged or cut off");
}

TEST_CASE("image: what is no image is named, with the formats") {
  check_contains(refused("GIF89a"), "t is no image that can be read: expected PNG, JPEG, PGM");
  check_contains(refused(""), "t is no image that can be read");
  check_contains(refused("P5 2 2 255\nabc"), "3 bytes behind its header do not hold 4 values");
  check_contains(refused("P5 9999999 9999999 255\n"), "the image has 9999999 x 9999999 pixels");
  check_contains(refused("P5 0 1 255\n"), "the image has 0 x 1 pixels");
  check_contains(refused("P2 1 1 255\n"), "do not hold 1 values");
  check_contains(refused("P2 1 x"), "byte 5 of this PGM or PPM file: expected a number");
}

TEST_CASE("image: other sizes and channels") {
  const Image image{.height = 2, .width = 2, .channels = 1, .pixels = {0, 10, 20, 30}};
  CHECK(pixels_of(common::resized(image, 1, 1)) == std::vector<int>{15});
  CHECK(pixels_of(common::resized(image, 1, 4)) == std::vector<int>{10, 10, 20, 20});
  CHECK(pixels_of(common::with_channels(image, 3)).size() == 12);
  const Image red{.height = 1, .width = 1, .channels = 3, .pixels = {255, 0, 0}};
  CHECK(pixels_of(common::with_channels(red, 1)) == std::vector<int>{76});
}

TEST_CASE("idx: a folder that is absent is named") {
  check_contains(message_of<FileError>([] { common::idx_files("absent", "x"); }),
                 "there is no folder absent");
}
