// SPDX-License-Identifier: MIT
// Images of bytes: reading PNG, JPEG, PGM and PPM, writing PNG.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace common {

struct Image {
  std::int64_t height = 0, width = 0;
  std::int64_t channels = 1;         // 1: grey, 3: red, green, blue
  std::vector<std::uint8_t> pixels;  // [height, width, channels]

  std::uint8_t& at(std::int64_t row, std::int64_t column, std::int64_t channel = 0) {
    return pixels[static_cast<std::size_t>((row * width + column) * channels + channel)];
  }
  std::uint8_t at(std::int64_t row, std::int64_t column, std::int64_t channel = 0) const {
    return pixels[static_cast<std::size_t>((row * width + column) * channels + channel)];
  }
};

// Reads a file of any of these formats, by its first bytes, with 1 or 3 channels. Palettes become
// colours, 16 bits become 8, transparent pixels lie on white. Throws FileError, with what to do, if
// the file is damaged, if this build reads no such format, or above 2^26 pixels.
Image read_image(const std::string& path);
// The same of the bytes of a file. Errors name it `path`.
Image decode_image(const std::string& bytes, const std::string& path);
// With 1 or 3 channels: grey becomes three equal ones, colours become their luminance.
Image with_channels(const Image& image, std::int64_t channels);
// read_image() with as many channels.
Image read_image(const std::string& path, std::int64_t channels);

// An image of this size: the mean of the pixels that fall on each new one, or the nearest.
Image resized(const Image& image, std::int64_t height, std::int64_t width);

// The image as a PNG: the bytes of a file, for tapeloop::write_file().
std::string png_of(const Image& image);
// The same as text for the href of an SVG's <image>.
std::string data_uri_of(const Image& image);

namespace detail {
// Throws FileError unless both sizes are 1 or more, with at most 2^26 pixels.
void check_size(std::int64_t height, std::int64_t width, const std::string& path);
// By libpng and libjpeg. Where these are absent, the build has functions that throw FileError.
Image decode_png(const std::string& bytes, const std::string& path);
Image decode_jpeg(const std::string& bytes, const std::string& path);
}  // namespace detail

}  // namespace common
