// SPDX-License-Identifier: MIT
// Images: PNG, JPEG, PGM and PPM.
#include "examples/common/pictures/image.h"

#include "tapeloop/autograd/tensor/error.h"
#include "tests/fuzz/targets.h"

namespace tapeloop::fuzz {
namespace {

using common::Image;

constexpr const char* kFile = "folder/input.png";
constexpr std::int64_t kMostPixels = 1 << 20;  // of an image that is made again

}  // namespace

void try_images(std::string_view bytes) {
  Image image;
  try {
    image = common::decode_image(std::string(bytes), kFile);
  } catch (const FileError& error) {
    return expect_message(error, kFile);
  }
  expect(image.channels == 1 || image.channels == 3, "an image is grey or in colours");
  expect(image.height > 0 && image.width > 0, "an image has pixels");
  expect(
      static_cast<std::int64_t>(image.pixels.size()) == image.height * image.width * image.channels,
      "every pixel has its bytes");
  if (image.height * image.width > kMostPixels) return;
  const Image again = common::decode_image(common::png_of(image), kFile);
  expect(again.height == image.height && again.width == image.width &&
             again.channels == image.channels && again.pixels == image.pixels,
         "a PNG keeps every pixel");
}

std::vector<std::string> images_seeds() {
  Image grey{3, 5, 1, {}}, colours{2, 3, 3, {}};
  for (int i = 0; i < 15; ++i) grey.pixels.push_back(static_cast<std::uint8_t>(17 * i));
  for (int i = 0; i < 18; ++i) colours.pixels.push_back(static_cast<std::uint8_t>(255 - 13 * i));
  return {common::png_of(grey), common::png_of(colours),
          "P5\n# a comment\n3 2\n255\n\x01\x02\x03\x04\x05\x06", "P6 1 1 65535 abcdef"};
}

}  // namespace tapeloop::fuzz
