// SPDX-License-Identifier: MIT
// A picture of texts with their words on colours, as SVG: which words moved a decision, or where an
// attention looked.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace tapeloop::nn {

// A text of the picture.
struct WordRow {
  std::string label;               // stands in front
  std::string remark;              // behind the label, in red: "not positive"
  std::vector<std::string> words;  // UTF-8
  std::vector<double> values;      // one for each word; NaN is white
};

struct WordPictureOptions {
  std::string title = "Words";                        // the heading
  std::string legend = "orange above 0, blue below";  // below the heading
};

// Orange above 0, blue below, full colour at the largest magnitude of the text. Long texts go on in
// further lines. Throws Error if a text has not as many values as words.
std::string word_picture(std::span<const WordRow> rows, const WordPictureOptions& options = {});

}  // namespace tapeloop::nn
