// SPDX-License-Identifier: MIT
// The text of a character model: files, vocabulary, split into training and validation, parallel
// streams. Symbols are bytes; only text that people read is cut between characters of UTF-8.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tapeloop/autograd/number/random.h"
#include "tapeloop/autograd/tensor/tensor.h"

namespace char_lm {

// The built-in list: names of dinosaur genera, one per line, in alphabetical order.
std::string_view dinosaur_names();

// Reads the text of a file of at most 2 GiB, in any encoding. Unicode becomes UTF-8 and line ends
// become '\n' (see common::decode_text); a file with a NUL byte stays unchanged. Throws FileError
// if the file is absent, a folder, unreadable, too long or empty.
std::string read_text(const std::string& path);

struct Corpus {
  std::string train;
  std::string validation;
  bool lines = false;  // a list: each pass reads its lines in a new random order
};
// The first 90% train, the last 10% validate.
Corpus split_text(const std::string& text);
// Every tenth line validates: in a sorted list the last tenth would be the names from T to Z. Empty
// lines are left out.
Corpus split_lines(const std::string& text);
// Lines without their ends; no empty ones.
std::vector<std::string> lines_of(std::string_view text);

// --- pieces of UTF-8 for display; in other encodings they lose a few bytes ---
// The text without the bytes of a character that is incomplete at its end.
std::string_view without_cut_end(std::string_view text);
// The beginning of a text that may start in the middle of a character: whole characters, at most
// `most` bytes.
std::string_view beginning_of(std::string_view text, std::size_t most);

// The different bytes of a text, sorted. A symbol's index is its place in that order.
class Vocabulary {
 public:
  explicit Vocabulary(std::string_view text);
  std::int64_t size() const { return static_cast<std::int64_t>(symbols_.size()); }
  std::int64_t index(char symbol) const;  // -1 if the text does not contain it
  char symbol(std::int64_t index) const { return symbols_.at(static_cast<std::size_t>(index)); }
  // Printable ASCII stays, every other byte becomes \x0a and the like: for settings and messages.
  // unescape() throws tapeloop::Error.
  std::string escaped() const;
  static Vocabulary unescape(const std::string& escaped);

 private:
  std::string symbols_;
  std::array<std::int64_t, 256> index_{};
};

// One update's symbols [T, N] and the ones that follow them.
struct Batch {
  tapeloop::Tensor x;
  tapeloop::Tensor y;
  bool fresh = false;  // the streams start over: the carried state is zero
};

// Cuts the training text into N equal contiguous streams, leaving out the remainder, and reads T
// symbols of each per update. If fewer than T + 1 symbols are left, the streams start over with the
// next pass. The symbols of an update depend only on its number, so that a resumed run needs no
// position.
class Streams {
 public:
  // Throws tapeloop::Error if the text is too short.
  Streams(const Corpus& corpus, const Vocabulary& vocabulary, std::int64_t streams,
          std::int64_t steps, const tapeloop::Random& order);
  std::int64_t updates_per_pass() const { return (length_ - 1) / steps_; }
  Batch at(std::int64_t update);

 private:
  void prepare(std::int64_t pass);

  const Vocabulary& vocabulary_;
  std::int64_t streams_;
  std::int64_t steps_;
  std::int64_t length_ = 0;  // of a stream
  tapeloop::Random order_;
  std::vector<std::string> lines_;  // empty unless lines are shuffled
  std::string text_;                // of the current pass
  std::int64_t pass_ = -1;
};

}  // namespace char_lm
