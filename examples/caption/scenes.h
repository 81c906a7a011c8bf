// SPDX-License-Identifier: MIT
// Images with captions: drawn, scenes of digits by a list, or a folder of image files.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "examples/common/pictures/image.h"
#include "tapeloop/autograd/number/random.h"
#include "tapeloop/autograd/tensor/tensor.h"
#include "tapeloop/nn/decode/metrics.h"

namespace caption {

using tapeloop::nn::Tokens;  // the words of a caption

struct Scenes {
  std::int64_t size = 0;                        // height and width of an image
  std::int64_t channels = 1;                    // 1 or 3
  std::vector<std::vector<std::uint8_t>> rows;  // for each image [size, size, channels]
  std::vector<Tokens> captions;
  std::int64_t resized = 0;                     // images that had another size
  std::map<std::string, std::int64_t> skipped;  // lines left out, by the reason

  std::int64_t count() const { return static_cast<std::int64_t>(captions.size()); }
  common::Image image(std::int64_t i) const {
    return {size, size, channels, rows[static_cast<std::size_t>(i)]};
  }
};

struct ReadOptions {
  bool smaller = false;       // of two lists or two sets of digits, the smaller one: for tests
  std::int64_t size = 0;      // 0: that of digit scenes, or 56
  std::int64_t channels = 0;  // 0: 3 if there is an image in colours, else 1
};

// Reads a list, or the one list *.tsv of a folder:
//   layout TAB index TAB index TAB caption   layout: single, horizontal, vertical; the indices are
//                                            those of *images-idx3-ubyte(.gz) in the same folder
//   image file TAB caption                   the file relative to the list
// Leaves out and counts lines without a caption and images that cannot be read. Throws FileError,
// with what to do, if nothing is left or an index is out of range.
Scenes read_scenes(const std::string& path, const ReadOptions& options);

// Draws scenes of one or two digits on 40 x 40 pixels: "an eight left of a three", "two sixes
// side by side", "a six above a zero", "two ones stacked", "a seven".
Scenes draw_scenes(std::int64_t count, tapeloop::Random& random);

constexpr std::int64_t kStart = 0, kEnd = 1, kNone = -100;

// The words of captions as symbols.
class Vocabulary {
 public:
  explicit Vocabulary(const std::vector<Tokens>& captions);
  std::int64_t size() const { return static_cast<std::int64_t>(words_.size()); }
  std::int64_t longest() const { return longest_; }  // words of a caption
  bool has(const std::string& word) const { return symbols_.count(word) > 0; }
  std::int64_t symbol(const std::string& word) const { return symbols_.at(word); }
  Tokens words(const std::vector<std::int64_t>& symbols) const;

 private:
  std::vector<std::string> words_ = {"START", "END"};
  std::map<std::string, std::int64_t> symbols_;
  std::int64_t longest_ = 0;
};

// A part of the scenes as tensors on the CPU. T: the longest caption of the part and its END.
struct Batch {
  tapeloop::Tensor images;   // [N, channels, size, size], 0 to 1
  tapeloop::Tensor symbols;  // [T, N]: START and the words
  tapeloop::Tensor targets;  // [T, N]: the words and END, then kNone
  tapeloop::Tensor within;   // [T, N, 1]: 1 where there is a target, else 0
};
tapeloop::Tensor images_of(const Scenes& scenes, const std::vector<std::int64_t>& list);
Batch batch_of(const Scenes& scenes, const Vocabulary& words,
               const std::vector<std::int64_t>& list);

}  // namespace caption
