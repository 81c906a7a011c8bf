// SPDX-License-Identifier: MIT
// The chunks of RIFF files, and samples of each coding as floats.
#include "examples/voice/wav.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstring>

#include "tapeloop/autograd/files/files.h"
#include "tapeloop/autograd/tensor/error.h"

namespace voice {

using tapeloop::FileError;

namespace {

constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 31;
constexpr unsigned kPcm = 1, kFloat = 3, kExtensible = 0xfffe;

std::uint32_t number_at(std::string_view bytes, std::size_t at, std::size_t size) {
  std::uint32_t result = 0;
  for (std::size_t i = 0; i < size; ++i) {
    result |= static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[at + i])) << (8 * i);
  }
  return result;
}

template <class T>
T copy_of(const char* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

struct Format {
  unsigned coding, channels, bits;
  std::uint32_t rate;
  std::size_t bytes() const { return bits / 8; }  // of a sample
};

float sample_at(const Format& format, const char* at) {
  if (format.coding == kFloat) {
    return format.bits == 64 ? static_cast<float>(copy_of<double>(at)) : copy_of<float>(at);
  }
  if (format.bits == 8) return static_cast<float>(static_cast<unsigned char>(*at) - 128) / 128;
  // The sample becomes the upper bytes of 32 bits, with its sign.
  const std::uint32_t bits = number_at({at, format.bytes()}, 0, format.bytes());
  return static_cast<float>(static_cast<std::int32_t>(bits << (32 - format.bits))) * 0x1p-31f;
}

Format format_of(std::string_view chunk, const std::string& name) {
  if (chunk.size() < 16) {
    throw FileError(
        fmt::format("{}: the format chunk has {} bytes, expected 16 or more; the file "
                    "is damaged or cut short",
                    name, chunk.size()));
  }
  Format f{number_at(chunk, 0, 2), number_at(chunk, 2, 2), number_at(chunk, 14, 2),
           number_at(chunk, 4, 4)};
  if (f.coding == kExtensible && chunk.size() >= 26) f.coding = number_at(chunk, 24, 2);
  const bool pcm = f.coding == kPcm && f.bits % 8 == 0 && f.bits >= 8 && f.bits <= 32;
  if (!pcm && !(f.coding == kFloat && (f.bits == 32 || f.bits == 64))) {
    throw FileError(fmt::format(
        "{}: coding {} with {} bits, expected PCM (1) of 8, 16, 24 or 32 bits or floats (3) of 32 "
        "or 64; convert it: ffmpeg -i FILE -c:a pcm_s16le -ar {} -ac 1 new.wav",
        name, f.coding, f.bits, kRate));
  }
  if (f.rate != kRate) {
    throw FileError(
        fmt::format("{}: {} samples per second, expected {}; convert it: ffmpeg -i "
                    "FILE -ar {} -ac 1 new.wav",
                    name, f.rate, kRate, kRate));
  }
  if (f.channels == 0) throw FileError(name + ": no channels, expected 1 or more");
  return f;
}

}  // namespace

Sound wav_of(std::string_view bytes, const std::string& name) {
  if (bytes.size() < 12 || bytes.substr(0, 4) != "RIFF" || bytes.substr(8, 4) != "WAVE") {
    throw FileError(name +
                    ": is no WAV file: it does not begin with RIFF and WAVE; raw samples "
                    "are read from standard input, with --data -");
  }
  Sound sound;
  bool has_format = false;
  Format format{};
  for (std::size_t at = 12; at + 8 <= bytes.size();) {
    const std::string_view kind = bytes.substr(at, 4);
    const std::size_t size = number_at(bytes, at + 4, 4), begin = at + 8;
    const std::string_view chunk = bytes.substr(begin, size);  // what of it is in the file
    if (kind == "fmt ") {
      format = format_of(chunk, name);
      has_format = true;
    }
    if (kind == "data") {
      if (!has_format) throw FileError(name + ": no format chunk stands before the samples");
      const std::size_t frame = format.bytes() * format.channels, frames = chunk.size() / frame;
      // Programs that write into a pipe do not know the length: they write 2^32 - 1.
      if (size != 0xffffffffu && (chunk.size() < size || chunk.size() % frame != 0)) {
        sound.remarks.push_back(fmt::format("the file is cut short: {} of {} samples are there",
                                            frames, (size + frame - 1) / frame));
      }
      if (format.channels > 1) {
        sound.remarks.push_back(fmt::format("the mean of {} channels is used", format.channels));
      }
      std::int64_t not_finite = 0;
      sound.samples.resize(frames);
      for (std::size_t i = 0; i < frames; ++i) {
        float sum = 0;
        for (std::size_t c = 0; c < format.channels; ++c)
          sum += sample_at(format, chunk.data() + i * frame + c * format.bytes());
        const bool finite = std::isfinite(sum);
        sound.samples[i] = finite ? sum / static_cast<float>(format.channels) : 0.0f;
        not_finite += finite ? 0 : 1;
      }
      if (not_finite > 0) {
        sound.remarks.push_back(
            fmt::format("{} samples are NaN or infinite; they became 0", not_finite));
      }
      return sound;
    }
    at = begin + size + size % 2;
  }
  throw FileError(name + ": has no samples: the file is damaged or cut short");
}

Sound read_wav(const std::string& path) {
  return wav_of(tapeloop::read_file(path, kMostBytes), path);
}

void read_raw(std::FILE* stream, const std::function<void(std::span<const float>)>& take) {
  std::array<char, 8192> bytes{};
  std::array<float, bytes.size() / 2> samples{};
  std::size_t held = 0;  // 1 if the first half of a sample has arrived
  for (;;) {
    const ssize_t got = ::read(fileno(stream), bytes.data() + held, bytes.size() - held);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      throw FileError(fmt::format("standard input: cannot read: {}", std::strerror(errno)));
    }
    if (got == 0) break;
    const std::size_t have = held + static_cast<std::size_t>(got);
    for (std::size_t i = 0; i < have / 2; ++i) {
      samples[i] = static_cast<float>(copy_of<std::int16_t>(bytes.data() + 2 * i)) / 32768;
    }
    take(std::span<const float>(samples).first(have / 2));
    held = have % 2;
    if (held == 1) bytes[0] = bytes[have - 1];
  }
  if (held == 1) {
    throw FileError("standard input: ends within a sample, expected 16 bits for each sample");
  }
}

}  // namespace voice
