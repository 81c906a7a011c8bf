// SPDX-License-Identifier: MIT
// Reads sound: WAV files, and raw 16-bit samples from a pipe. Does not resample and plays nothing.
#pragma once

#include <cstdint>
#include <cstdio>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace voice {

inline constexpr std::int64_t kRate = 16000;  // samples per second that a detector hears

struct Sound {
  std::vector<float> samples;        // one channel, -1 to 1
  std::vector<std::string> remarks;  // what the reader did to the file's samples, for people
};

// Reads a RIFF WAVE file: PCM of 8, 16, 24 or 32 bits, or floats of 32 or 64 bits, also in the
// extensible form. Several channels become their mean; a file that ends before its header says
// gives the samples that are there: a remark says so. Throws FileError, with what the file has and
// how to convert it, for another rate, another coding, and what is no WAVE file.
Sound read_wav(const std::string& path);
// The same for the bytes of a file; `name` is for messages.
Sound wav_of(std::string_view bytes, const std::string& name);

// Reads raw little-endian 16-bit samples until the stream ends, and gives each piece of any length
// to `take` as soon as it arrives. Throws FileError if reading fails or a half sample is left.
void read_raw(std::FILE* stream, const std::function<void(std::span<const float>)>& take);

}  // namespace voice
