// SPDX-License-Identifier: MIT
// Probabilities of chunks as segments of speech, as a file and as a picture.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace voice {

struct Segment {
  std::int64_t begin, end;  // chunks
};

// A segment begins with a chunk of at least `threshold`. It ends before the first of 4 chunks in
// turn (128 ms) that are below threshold - 0.15. Segments under 8 chunks (256 ms) are left out.
std::vector<Segment> segments_of(std::span<const float> probabilities, double threshold);

// Lines "chunk TAB probability", with a head line; read_chunks() reads them.
std::string tsv_of(std::span<const float> probabilities);

// SVG: the waveform, and below it the probability; segments are coloured.
std::string picture_of(std::span<const float> samples, std::span<const float> probabilities,
                       const std::vector<Segment>& segments, const std::string& title);

}  // namespace voice
