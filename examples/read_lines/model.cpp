// SPDX-License-Identifier: MIT
#include "examples/read_lines/model.h"

#include "tapeloop/autograd/ops/losses.h"

namespace read_lines {

using namespace tapeloop;

namespace {
constexpr std::int64_t kFirst = 12, kSecond = 24;  // channels
constexpr std::int64_t kBlock = 4;  // a cell of the grid reads kBlock x kBlock pixels
}  // namespace

LineModel::LineModel(const ModelSettings& s, std::int64_t height, Random& random)
    : samples(random.split()), net_(s.net) {
  if (net_ == "md_lstm") {
    const std::int64_t hidden = s.hidden > 0 ? s.hidden : 16;
    grid_ = nn::MdLstm(
        {.input = kBlock * kBlock, .hidden = hidden, .directions = nn::all_directions(2)}, random);
    columns_ = nn::Linear(grid_.output_size(), 2 * hidden, random);
    upper_ = nn::MdLstm(
        {.input = 2 * hidden, .hidden = 2 * hidden, .directions = nn::all_directions(2)}, random);
    head_ = nn::Linear(upper_.output_size(), kClasses, random);
    return;
  }
  const std::int64_t hidden = s.hidden > 0 ? s.hidden : 64;
  conv1_ = nn::Conv2d(1, kFirst, {5, 5}, random, {.stride = {2, 2}, .padding = {2, 2}});
  conv2_ = nn::Conv2d(kFirst, kSecond, {3, 3}, random, {.stride = {2, 2}, .padding = {1, 1}});
  norm1_ = nn::BatchNorm(kFirst);
  norm2_ = nn::BatchNorm(kSecond);
  columns_ = nn::Linear(kSecond * height / kBlock, hidden, random);
  lstm_ = nn::Lstm({.input = hidden, .hidden = hidden, .bidirectional = true}, random);
  head_ = nn::Linear(lstm_.output_size(), kClasses, random);
}

void LineModel::visit(nn::Visitor& v) const {
  if (net_ == "md_lstm") {
    v("grid", grid_), v("columns", columns_), v("upper", upper_);
  } else {
    v("conv1", conv1_), v("norm1", norm1_), v("conv2", conv2_), v("norm2", norm2_);
    v("columns", columns_), v("lstm", lstm_);
  }
  v("head", head_), v("samples", samples);
}

std::vector<std::int64_t> steps_of(const Batch& batch) {
  std::vector<std::int64_t> steps;
  for (const std::int64_t width : batch.widths) steps.push_back(width / kBlock);
  return steps;
}

// The rows and columns of each line's grid.
static std::vector<std::int64_t> sizes_of(const Batch& batch) {
  std::vector<std::int64_t> sizes;
  for (const std::int64_t width : batch.widths) {
    sizes.push_back(batch.images.dim(2) / kBlock);
    sizes.push_back(width / kBlock);
  }
  return sizes;
}

Var LineModel::grid(const Batch& batch) const {
  const Shape image = batch.images.shape();  // [N, 1, height, W]
  const std::int64_t rows = image[2] / kBlock, columns = image[3] / kBlock;
  const Var x(batch.images.to(head_.weight.device()));
  const Var blocks =
      reshape(permute(reshape(x, {image[0], rows, kBlock, columns, kBlock}), {1, 3, 0, 2, 4}),
              {rows, columns, image[0], kBlock * kBlock});
  return grid_(blocks, {.sizes = sizes_of(batch)}).ys;
}

Var LineModel::operator()(const Batch& batch) const {
  if (net_ == "md_lstm") {
    const Var ys = upper_(tanh(columns_(grid(batch))), {.sizes = sizes_of(batch)}).ys;
    return log_softmax(head_(sum(ys, {0})), 2);
  }
  const Var x(batch.images.to(head_.weight.device()));
  const Var y = relu(norm2_(conv2_(relu(norm1_(conv1_(x))))));  // [N, C, height / 4, W / 4]
  const Var columns = reshape(permute(y, {3, 0, 1, 2}), {y.dim(3), y.dim(0), -1});
  const Var ys = lstm_(relu(columns_(columns)), {}, steps_of(batch)).ys;
  return log_softmax(head_(ys), 2);
}

Var LineModel::loss(const Var& p, const Batch& batch) const {
  const auto lines = static_cast<double>(batch.texts.size());
  return ctc_loss(p, batch.targets.to(p.device()), steps_of(batch), batch.lengths,
                  {.reduce = Reduce::sum, .zero_infinity = true}) /
         lines;
}

Tensor LineModel::activations(const Batch& batch) const {
  return grid(batch).value().select(2, 0).cpu().contiguous();
}

}  // namespace read_lines
