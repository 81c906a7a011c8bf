// SPDX-License-Identifier: MIT
// JPEG by libjpeg. Its errors leave by longjmp, past frames of C alone.
#include <fmt/format.h>

#include <csetjmp>
#include <cstdio>
// jpeglib.h needs FILE.
#include <jpeglib.h>

#include "examples/common/pictures/image.h"
#include "tapeloop/autograd/tensor/error.h"

namespace common {

namespace {

struct Errors {
  jpeg_error_mgr manager;  // first: libjpeg knows only its address
  std::jmp_buf leave;
  char text[JMSG_LENGTH_MAX];
};

[[noreturn]] void leave(j_common_ptr file) {
  auto* errors = reinterpret_cast<Errors*>(file->err);
  errors->manager.format_message(file, errors->text);
  std::longjmp(errors->leave, 1);
}

// A warning: libjpeg would go on with grey where the data end.
void on_message(j_common_ptr file, int level) {
  if (level < 0) leave(file);
}

// False, with errors.text, if the file is damaged. Objects with destructors are the caller's.
bool decode(jpeg_decompress_struct& file, Errors& errors, const std::string& bytes, Image& image,
            bool& fits) {
  if (setjmp(errors.leave) != 0) return false;
  jpeg_create_decompress(&file);
  jpeg_mem_src(&file, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  jpeg_read_header(&file, TRUE);
  image.height = file.image_height, image.width = file.image_width;
  fits = image.height <= (1 << 26) / image.width;
  if (!fits) return true;
  file.out_color_space = file.jpeg_color_space == JCS_GRAYSCALE ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_start_decompress(&file);
  image.channels = file.output_components;
  const auto line = static_cast<std::size_t>(image.width * image.channels);
  image.pixels.resize(line * static_cast<std::size_t>(image.height));
  while (file.output_scanline < file.output_height) {
    JSAMPROW row = image.pixels.data() + line * file.output_scanline;
    jpeg_read_scanlines(&file, &row, 1);
  }
  jpeg_finish_decompress(&file);
  return true;
}

}  // namespace

Image detail::decode_jpeg(const std::string& bytes, const std::string& path) {
  jpeg_decompress_struct file{};
  Errors errors{};
  file.err = jpeg_std_error(&errors.manager);
  errors.manager.error_exit = leave;
  errors.manager.emit_message = on_message;
  Image image;
  bool fits = true;
  const bool right = decode(file, errors, bytes, image, fits);
  jpeg_destroy_decompress(&file);
  if (!right) {
    throw tapeloop::FileError(
        fmt::format("{}: this JPEG is damaged or cut off ({})", path, errors.text));
  }
  detail::check_size(image.height, image.width, path);
  return image;
}

}  // namespace common
