// SPDX-License-Identifier: MIT
// In place of jpeg.cpp where libjpeg is absent.
#include <fmt/format.h>

#include "examples/common/pictures/image.h"
#include "tapeloop/autograd/tensor/error.h"

namespace common {

Image detail::decode_jpeg(const std::string&, const std::string& path) {
  throw tapeloop::FileError(fmt::format(
      "{}: this program was built without libjpeg and reads no JPEG; install libjpeg-dev and build "
      "again, or convert the image to PGM or PPM",
      path));
}

}  // namespace common
