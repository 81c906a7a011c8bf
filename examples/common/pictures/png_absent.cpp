// SPDX-License-Identifier: MIT
// In place of png.cpp where libpng is absent.
#include <fmt/format.h>

#include "examples/common/pictures/image.h"
#include "tapeloop/autograd/tensor/error.h"

namespace common {

Image detail::decode_png(const std::string&, const std::string& path) {
  throw tapeloop::FileError(fmt::format(
      "{}: this program was built without libpng and reads no PNG; install libpng-dev and build "
      "again, or convert the image to PGM or PPM",
      path));
}

}  // namespace common
