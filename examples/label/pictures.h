// SPDX-License-Identifier: MIT
// The pictures of a run, as SVG.
#pragma once

#include "examples/label/model.h"

namespace label {

// Up to 16 texts with their words on colours: which words moved the decision.
std::string words_picture(const Labeller& model, const std::vector<Sample>& samples,
                          const Report& report);
// A row for each label, up to the 30 most frequent: what the model says instead.
std::string confusion_picture(const Report& report, const Vocabulary& vocabulary);

}  // namespace label
