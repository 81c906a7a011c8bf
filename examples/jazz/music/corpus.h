// SPDX-License-Identifier: MIT
// Reader of the text format of the embedded jazz corpus. It reads no files: the caller passes the
// text, so that the corpus can be compiled in.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "examples/jazz/music/score.h"

namespace jazz {

// what() is "FILE:LINE: what was found, what was expected".
class CorpusError : public std::runtime_error {
 public:
  CorpusError(std::string_view file, int line, std::string_view problem);
  int line() const { return line_; }

 private:
  int line_;
};

// Reads the tunes of one text. A tune is four header lines (tune, form, key, tempo), a blank line,
// and systems of two lines: chords above, melody below, both cut into bars by '|'.
//   chords  1, 2 or 4 symbols share a 4/4 bar equally; NC is no chord
//   melody  8 slots of an eighth: a pitch (c5, bb4, f#5), '-' (hold), '.' (rest);
//           "(a b c)" are three tokens in the time of two slots
// '#' begins a comment line. The text may come from any system (common::decode_text); special
// signs, such as the flat sign, are understood (plain_symbol). Throws CorpusError, also for a text
// without a tune.
std::vector<Tune> parse_corpus(std::string_view text, std::string_view file);

}  // namespace jazz
