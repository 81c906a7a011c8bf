// SPDX-License-Identifier: MIT
// A picture of a confusion matrix, as SVG: which label a classifier gives instead of which.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "tapeloop/autograd/tensor/tensor.h"

namespace tapeloop::nn {

struct ConfusionPictureOptions {
  std::string title = "Which labels are confused";  // the heading
  std::int64_t most = 30;                           // shows at most so many labels, the commonest
};

// counts [K, K]: how often the label of the row was given the label of the column; names [K].
// Cells show percent of their row: blue on the diagonal, orange beside it. The colour grows with
// the square root, so that small shares are seen. Rows are in the order of their counts. Throws
// Error for other shapes and for counts that are negative or not finite.
std::string confusion_picture(const Tensor& counts, std::span<const std::string> names,
                              const ConfusionPictureOptions& options = {});

}  // namespace tapeloop::nn
