// SPDX-License-Identifier: MIT
#include "examples/video/model.h"

namespace video {

using namespace tapeloop;

namespace {

constexpr std::int64_t kFirst = 8, kSecond = 16;  // channels

// [.., 2 a, 2 b] pixels -> [.., 4, a, b]: each block of 2 x 2 pixels as four channels; and back.
Var in_blocks(const Var& x, std::int64_t side) {
  const std::int64_t half = side / 2;
  const Var blocks = permute(reshape(x, {-1, half, 2, half, 2}), {0, 2, 4, 1, 3});
  return reshape(blocks, {-1, 4, half, half});
}
Var from_blocks(const Var& x, std::int64_t side) {
  const std::int64_t half = side / 2;
  return reshape(permute(reshape(x, {-1, 2, 2, half, half}), {0, 3, 1, 4, 2}), {-1, side * side});
}

// 1 / length of each clip at its real frames, else 0: [T, N, 1].
Tensor shares_of(const Batch& batch, std::int64_t steps) {
  const auto count = static_cast<std::int64_t>(batch.lengths.size());
  std::vector<float> shares(static_cast<std::size_t>(steps * count));
  for (std::int64_t n = 0; n < count; ++n) {
    const std::int64_t length = batch.lengths[static_cast<std::size_t>(n)];
    for (std::int64_t t = 0; t < length; ++t)
      shares[static_cast<std::size_t>(t * count + n)] = 1.0F / static_cast<float>(length);
  }
  return Tensor::from({steps, count, 1}, shares);
}

}  // namespace

Var over_time(const Var& x, const Batch& batch) {
  const auto count = static_cast<std::int64_t>(batch.lengths.size());
  const Var flat = reshape(x, {x.dim(0), -1});
  const Var rows = take(flat, batch.places.to(x.device()), 0);
  return reshape(rows, {batch.places.numel() / count, count, flat.dim(1)});
}

VideoModel::VideoModel(const ModelSettings& s, std::int64_t side, Random& random)
    : samples(random.split()),
      settings_(s),
      small_((side + 3) / 4),
      conv1_(1, kFirst, {5, 5}, random, {.stride = {2, 2}, .padding = {2, 2}}),
      conv2_(kFirst, kSecond, {3, 3}, random, {.stride = {2, 2}, .padding = {1, 1}}),
      norm1_(kFirst),
      norm2_(kSecond) {
  const std::int64_t all = kSecond * small_ * small_;
  if (s.net == "conv_lstm") {
    conv_lstm_ = nn::ConvLstm({.input = all, .hidden = all}, random, {.image = {small_, small_}});
    direction_ = nn::Linear(kSecond, kDirections, random);
    digit_ = nn::Linear(all, 10, random);
    return;
  }
  features_ = nn::Linear(all, s.hidden, random);
  if (s.net == "lstm") lstm_ = nn::Lstm({.input = s.hidden, .hidden = s.hidden}, random);
  direction_ = nn::Linear(s.hidden, kDirections, random);
  digit_ = nn::Linear(s.net == "lstm" ? 2 * s.hidden : s.hidden, 10, random);
}

void VideoModel::visit(nn::Visitor& v) const {
  v("conv1", conv1_), v("norm1", norm1_), v("conv2", conv2_), v("norm2", norm2_);
  if (settings_.net != "conv_lstm") v("features", features_);
  if (settings_.net == "lstm") v("lstm", lstm_);
  if (settings_.net == "conv_lstm") v("conv_lstm", conv_lstm_);
  v("direction", direction_), v("digit", digit_), v("samples", samples);
}

VideoModel::Logits VideoModel::operator()(const Batch& batch) const {
  const Var frames(batch.frames.to(conv1_.weight.device()));
  const Var x = relu(norm2_(conv2_(relu(norm1_(conv1_(frames))))));
  const Tensor moved = batch.moved.to(x.device());
  const auto at_moves = [&](const Var& z) {
    return direction_(take(reshape(z, {-1, z.dim(2)}), moved, 0));
  };
  if (settings_.net == "conv_lstm") {
    const auto [ys, last] = conv_lstm_(over_time(x, batch), {}, batch.lengths);
    const Var channels = mean(reshape(ys, {ys.dim(0), ys.dim(1), kSecond, -1}), {3});
    return {at_moves(channels), digit_(select_index(last.h(), 0, 0))};
  }
  const Var steps = over_time(relu(features_(flatten(x))), batch);  // [T, N, hidden]
  const Var average = sum(steps * Var(shares_of(batch, steps.dim(0)).to(steps.device())), {0});
  if (settings_.net == "frames") return {at_moves(steps), digit_(average)};
  const auto [ys, last] = lstm_(steps, {}, batch.lengths);
  return {at_moves(ys), digit_(concat({select_index(last.h(), 0, 0), average}, 1))};
}

Var VideoModel::loss(const Logits& z, const Batch& batch) const {
  const Device device = z.digits.device();
  return cross_entropy(z.directions, batch.directions.to(device)) +
         cross_entropy(z.digits, batch.digits.to(device));
}

NextFrame::NextFrame(std::int64_t channels, std::int64_t side, Random& random)
    : channels_(channels),
      side_(side),
      lstm_({.input = side * side, .hidden = channels * side / 2 * (side / 2)}, random,
            {.image = {side / 2, side / 2}, .kernel = {5, 5}}),
      pixels_(channels, 4, {1, 1}, random) {}

Var NextFrame::operator()(const Batch& batch) const {
  const Var blocks = in_blocks(Var(batch.frames.to(pixels_.weight.device())), side_);
  const Var ys = lstm_(over_time(blocks, batch)).ys;
  const std::int64_t steps = ys.dim(0), count = ys.dim(1), half = side_ / 2;
  const Var logits = pixels_(reshape(ys, {steps * count, channels_, half, half}));
  return reshape(from_blocks(logits, side_), {steps, count, side_ * side_});
}

Var NextFrame::loss(const Batch& batch) const {
  const Var logits = (*this)(batch), next = over_time(Var(batch.clean.to(logits.device())), batch);
  // Row t * N + n of the logits predicts frame t + 1, which is row `moved` of the frames.
  const auto count = static_cast<std::int64_t>(batch.lengths.size());
  const auto rows = [&](const Var& x, std::int64_t back) {
    std::vector<std::int64_t> list = batch.moved.to_vector<std::int64_t>();
    for (std::int64_t& row : list) row -= back;
    const auto size = static_cast<std::int64_t>(list.size());
    return take(reshape(x, {-1, x.dim(2)}), Tensor::from({size}, list).to(x.device()), 0);
  };
  return bce_with_logits(rows(logits, count), rows(next, 0));
}

}  // namespace video
