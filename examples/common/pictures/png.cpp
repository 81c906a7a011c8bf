// SPDX-License-Identifier: MIT
// PNG by libpng.
#include <fmt/format.h>
#include <png.h>

#include <memory>

#include "examples/common/pictures/image.h"
#include "tapeloop/autograd/tensor/error.h"

namespace common {

Image detail::decode_png(const std::string& bytes, const std::string& path) {
  png_image file{};
  file.version = PNG_IMAGE_VERSION;
  const std::unique_ptr<png_image, void (*)(png_image*)> freed(&file, png_image_free);
  const auto check = [&](int right) {
    if (right == 0 || PNG_IMAGE_FAILED(file)) {
      throw tapeloop::FileError(
          fmt::format("{}: this PNG is damaged or cut off ({})", path, file.message));
    }
  };
  check(png_image_begin_read_from_memory(&file, bytes.data(), bytes.size()));
  detail::check_size(file.height, file.width, path);
  file.flags |= PNG_IMAGE_FLAG_16BIT_sRGB;  // 16 bits without a gamma are as bright as 8 bits
  Image image{.height = file.height, .width = file.width, .channels = 1, .pixels = {}};
  const bool colours = (file.format & PNG_FORMAT_FLAG_COLOR) != 0;
  file.format = colours ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
  image.channels = colours ? 3 : 1;
  image.pixels.resize(PNG_IMAGE_SIZE(file));
  const png_color white{255, 255, 255};
  check(png_image_finish_read(&file, &white, image.pixels.data(), 0, nullptr));
  return image;
}

}  // namespace common
