// SPDX-License-Identifier: MIT
// Files of texts or words with labels. Knows no words of a text and no model.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace common {

enum class LabelFormat {
  texts,  // a text in each line: "text TAB label"; the last TAB counts
  // A word in each line, an empty line after each sentence: CoNLL-U (10 columns; the label is UPOS;
  // comments, multiword tokens and empty nodes are left out), or "word TAB label", further columns
  // ignored.
  words,
};

// A text with its label, or a sentence with a label for each word.
struct Labelled {
  std::vector<std::string> words;  // of LabelFormat::texts the text, as one
  std::vector<std::string> labels;
};

struct LabelledText {
  std::vector<Labelled> list;
  std::vector<std::string> notes;  // a line for the user for what was left out
};

// Reads a decoded text (text.h). Throws FileError, with the line, for a line without its columns.
LabelledText labelled_text(std::string_view text, const std::string& name, LabelFormat format);
// Reads a file, or of a folder every .txt, .tsv, .conll and .conllu file of which at least half of
// the lines have a TAB, but not the file `except` (empty: none). Throws FileError if that gives
// nothing.
LabelledText read_labelled(const std::string& path, LabelFormat format,
                           const std::string& except = "");

}  // namespace common
