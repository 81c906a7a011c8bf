// SPDX-License-Identifier: MIT
#include "examples/regions/model.h"

#include <numeric>
#include <utility>

#include "tapeloop/autograd/ops/losses.h"
#include "tapeloop/autograd/ops/ops.h"
#include "tapeloop/autograd/tape/tape.h"

namespace regions {

using namespace tapeloop;

namespace {
constexpr std::int64_t kBlock = 2;  // a cell of the MD-LSTM reads a block of kBlock x kBlock pixels
}

RegionModel::RegionModel(const ModelSettings& s, std::int64_t labels, Random& random)
    : samples(random.split()),
      settings_(s),
      pixel_(3, s.hidden, random),
      confidence_(s.hidden, labels, random) {
  if (s.net == "graph") {
    graph_ = nn::GraphLstm({.input = s.hidden,
                            .hidden = s.hidden,
                            .layers = static_cast<int>(s.layers),
                            .residual = true},
                           random);
  } else if (s.net == "md_lstm") {
    grid_ = nn::MdLstm({.input = s.hidden * kBlock * kBlock,
                        .hidden = s.hidden,
                        .directions = nn::all_directions(2)},
                       random);
    head_ = nn::Linear(grid_.output_size(), labels * kBlock * kBlock, random);
    return;
  } else {
    alone_ = nn::Linear(s.hidden, s.hidden, random);
  }
  head_ = nn::Linear(s.hidden, labels, random);
}

void RegionModel::visit(nn::Visitor& v) const {
  v("pixel", pixel_), v("confidence", confidence_);
  if (settings_.net == "graph") v("graph", graph_);
  if (settings_.net == "md_lstm") v("grid", grid_);
  if (settings_.net == "regions") v("alone", alone_);
  v("head", head_), v("samples", samples);
}

std::vector<std::int64_t> RegionModel::order_of(const Batch& batch, const Var& of_pixels) const {
  if (settings_.order == "breadth_first") return batch.regions.breadth_first();
  if (settings_.order == "confidence") {
    const PauseRecording pause;
    return batch.regions.by_confidence(batch.regions.mean(softmax(of_pixels, 1)).value());
  }
  std::vector<std::int64_t> order(static_cast<std::size_t>(batch.regions.nodes()));
  std::iota(order.begin(), order.end(), 0);
  Random random(1);  // always the same
  for (std::size_t i = order.size(); i > 1; --i)
    std::swap(order[i - 1], order[static_cast<std::size_t>(random.below(i))]);
  return order;
}

RegionModel::Answer RegionModel::operator()(const Batch& batch) const {
  const Shape image = batch.pixels.shape();
  const std::int64_t pixels = image[0] * image[1] * image[2];
  const Device device = pixel_.weight.device();
  const Var x(reshape(Var(batch.pixels.to(device)), {pixels, 3}));
  const Var features = relu(pixel_(x));
  const Var of_pixels = confidence_(features);
  if (settings_.net == "md_lstm") {
    const std::int64_t rows = image[1] / kBlock, columns = image[2] / kBlock;
    const Var blocks =
        permute(reshape(features, {image[0], rows, kBlock, columns, kBlock, settings_.hidden}),
                {1, 3, 0, 2, 4, 5});
    const Var out = head_(grid_(reshape(blocks, {rows, columns, image[0], -1})).ys);
    const Var in_blocks = reshape(out, {rows, columns, image[0], kBlock, kBlock, -1});
    return {reshape(permute(in_blocks, {2, 0, 3, 1, 4, 5}), {pixels, -1}), of_pixels, {}};
  }
  const Var means = batch.regions.mean(features);
  if (settings_.net == "regions") return {head_(relu(alone_(means))), of_pixels, {}};
  std::vector<std::int64_t> order = order_of(batch, of_pixels);
  const Schedule schedule = Schedule::graph(batch.regions.neighbours(), order);
  return {head_(graph_(means, schedule).y), of_pixels, std::move(order)};
}

Var RegionModel::loss(const Answer& z, const Batch& batch) const {
  const Device device = z.pixels.device();
  const Tensor truth = batch.truth.to(device);
  const Var by_pixel = cross_entropy(z.pixels, truth);
  if (settings_.net == "md_lstm") return cross_entropy(z.regions, truth) + by_pixel;
  return by_pixel - sum(log_softmax(z.regions, 1) * Var(batch.shares.to(device)));
}

std::vector<std::int64_t> RegionModel::labels_of(const Answer& answer, const Batch& batch) const {
  const std::vector<std::int64_t> found =
      argmax(answer.regions.value().cpu()).to_vector<std::int64_t>();
  if (settings_.net == "md_lstm") return found;
  std::vector<std::int64_t> labels;
  for (const std::int64_t region : batch.regions.region().to_vector<std::int64_t>())
    labels.push_back(found[static_cast<std::size_t>(region)]);
  return labels;
}

}  // namespace regions
