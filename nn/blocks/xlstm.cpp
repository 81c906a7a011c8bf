// SPDX-License-Identifier: MIT
// The blocks of an xLSTM, and their stack.
#include "tapeloop/nn/blocks/xlstm.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tapeloop/autograd/context/scope.h"
#include "tapeloop/autograd/schedule/lengths.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/nn/layers/init.h"
#include "tapeloop/nn/recurrent/own_order.h"

namespace tapeloop::nn {

namespace {

// Nguyen & Salazar 2019: N(0, 2 / (5 E)).
void draw_small(const Linear& layer, const XlstmOptions& o, Random& random) {
  init::normal(layer.weight, 0, std::sqrt(2 / (5 * static_cast<double>(o.features))), random);
  if (layer.bias.defined()) init::constant(layer.bias, 0);
}
// Of a projection whose results are added to x: N(0, (2 / blocks)^2 / E).
void draw_residual(const Linear& layer, const XlstmOptions& o, Random& random) {
  init::normal(layer.weight, 0, 2 / (o.blocks * std::sqrt(static_cast<double>(o.features))),
               random);
  if (layer.bias.defined()) init::constant(layer.bias, 0);
}

std::int64_t wider(double factor, const XlstmOptions& o) {
  const double multiples =
      std::ceil(factor * static_cast<double>(o.features) / static_cast<double>(o.round_to));
  return static_cast<std::int64_t>(multiples) * o.round_to;
}

}  // namespace

MlstmBlock::MlstmBlock(const XlstmOptions& o, Random& random)
    : xlstm_norm(o.features, 1, o.dtype), dropout(o.dropout, random) {
  const std::int64_t inner = wider(o.mlstm_factor, o);
  if (o.heads < 1 || inner % o.heads != 0 || o.qkv_block < 1 || inner % o.qkv_block != 0) {
    fail("xlstm", fmt::format("an mLSTM block has {} features, {} heads and blocks of {}; expected "
                              "heads and blocks that divide the features",
                              inner, o.heads, o.qkv_block));
  }
  own = {.heads = o.heads, .epsilon = o.epsilon, .chunk = o.chunk};
  proj_up = Linear(o.features, 2 * inner, random, o.bias, o.dtype);
  draw_small(proj_up, o, random);
  for (GroupLinear* layer : {&q_proj, &k_proj, &v_proj}) {
    *layer = GroupLinear(inner, inner / o.qkv_block, o.features, o.bias, random, o.dtype);
  }
  conv1d = CausalConvolution(inner, o.taps, random, o.dtype);
  igate = Linear(3 * inner, o.heads, random, true, o.dtype);
  fgate = Linear(3 * inner, o.heads, random, true, o.dtype);
  init::constant(igate.weight, 0);
  init::constant(fgate.weight, 0);
  init::normal(igate.bias, 0, 0.1, random);
  PoolVector<double> biases;  // from 3 to 6
  for (int j = 0; j < o.heads; ++j) biases.push_back(3 + 3.0 * j / std::max(1, o.heads - 1));
  fgate.bias.value().copy_from(Tensor::from(Shape{o.heads}, std::span<const double>(biases)));
  outnorm = ScaledNorm(inner, o.heads, o.dtype);
  learnable_skip = parameter(Tensor::full({inner}, 1, o.dtype));
  proj_down = Linear(inner, o.features, random, o.bias, o.dtype);
  draw_residual(proj_down, o, random);
}

Var MlstmBlock::operator()(const Var& x, XlstmState& state,
                           std::span<const std::int64_t> lengths) const {
  const auto halves = chunk(proj_up(xlstm_norm(x)), 2, -1);
  const Var before = conv1d.with_state(halves[0], state.convolution);
  const Var u = silu(conv1d(before));
  const Var q = q_proj(u), k = k_proj(u), v = v_proj(halves[0]);
  const Var all = concat({q, k, v}, -1);
  const std::int64_t inner = learnable_skip.dim(0), d = inner / own.heads;
  const double scale = 1 / std::sqrt(static_cast<double>(d));
  const Tensor running =
      lengths.empty() ? Tensor()
                      : tapeloop::detail::mask_within(lengths, x.dim(0), x.dtype(), x.device());
  auto [ys, last] =
      detail::run_mlstm({q, k * scale, v, Var(), igate(all), fgate(all)}, state.cell, running, own);
  UnrollOptions options;
  options.lengths = lengths;
  const Var& h = state.cell.h();
  last[0] = detail::last_output(ys, h.defined() ? h : Var(detail::zero_state(x, inner)), options);
  state = {detail::last_steps(before, conv1d.taps() - 1, lengths), last};
  const Var y = (outnorm(ys) + learnable_skip * u) * silu(halves[1]);
  return x + dropout(proj_down(y));
}

void MlstmBlock::visit(Visitor& v) const {
  v("xlstm_norm", xlstm_norm), v("xlstm.proj_up", proj_up);
  v("xlstm.q_proj", q_proj), v("xlstm.k_proj", k_proj), v("xlstm.v_proj", v_proj);
  v("xlstm.conv1d", conv1d);
  v("xlstm.mlstm_cell.igate", igate), v("xlstm.mlstm_cell.fgate", fgate);
  v("xlstm.mlstm_cell.outnorm", outnorm);
  v("xlstm.learnable_skip", learnable_skip), v("xlstm.proj_down", proj_down);
  if (dropout.p > 0) v("dropout", dropout);
}

SlstmBlock::SlstmBlock(const XlstmOptions& o, double position, Random& random)
    : xlstm_norm(o.features, 1, o.dtype),
      conv1d(o.features, o.taps, random, o.dtype),
      ffn_norm(o.features, 1, o.dtype),
      dropout(o.dropout, random),
      heads(o.heads) {
  const std::int64_t size = o.features, d = o.heads < 1 ? 0 : size / o.heads;
  for (GroupLinear* gate : {&igate, &fgate, &zgate, &ogate}) {
    *gate = GroupLinear(size, o.heads, size, false, random, o.dtype);
  }
  group_norm = ScaledNorm(size, o.heads, o.dtype);
  weight_hh = parameter(Tensor::zeros({4 * size, d}, o.dtype));
  PoolVector<double> biases(static_cast<std::size_t>(4 * size));
  for (std::int64_t j = 0; j < size; ++j) {  // of f: from 5 to -7 within each head
    const double share = d > 1 ? static_cast<double>(j % d) / static_cast<double>(d - 1) : 0;
    biases[static_cast<std::size_t>(size + j)] = 5 - 12 * std::pow(share, 0.3 + 1.3 * position);
  }
  bias = parameter(Tensor::from(Shape{4 * size}, std::span<const double>(biases)).to(o.dtype));
  const std::int64_t inner = wider(o.mlp_factor, o);
  ffn.proj_up = Linear(size, 2 * inner, random, o.bias, o.dtype);
  ffn.proj_down = Linear(inner, size, random, o.bias, o.dtype);
  draw_small(ffn.proj_up, o, random);
  draw_residual(ffn.proj_down, o, random);
}

Var SlstmBlock::operator()(const Var& x, XlstmState& state,
                           std::span<const std::int64_t> lengths) const {
  const Var normed = xlstm_norm(x);
  const Var before = conv1d.with_state(normed, state.convolution);
  const Var u = silu(conv1d(before));
  Var zx = concat({igate(u), fgate(u), zgate(normed), ogate(normed)}, -1) + bias;
  const Recurrence step(SlstmGates{},
                        of::input() + of::product(weight_hh, of::state(0), Var(), heads),
                        of::state(1), of::state(2), of::state(3));
  for (std::size_t k = 0; k < 4; ++k) {
    if (!state.cell[k].defined()) state.cell[k] = Var(detail::zero_state(x, x.dim(2)));
  }
  const RecurrentResult result =
      recurrent(step, std::move(zx), state.cell.all(), {.lengths = lengths});
  state.cell = State<4>(result.last);
  state.convolution = detail::last_steps(before, conv1d.taps() - 1, lengths);
  const Var y = x + group_norm(dropout(result.hs));
  return y + dropout(ffn(ffn_norm(y)));
}

void SlstmBlock::visit(Visitor& v) const {
  v("xlstm_norm", xlstm_norm), v("xlstm.conv1d", conv1d);
  v("xlstm.igate", igate), v("xlstm.fgate", fgate);
  v("xlstm.zgate", zgate), v("xlstm.ogate", ogate);
  v("xlstm.slstm_cell.weight_hh", weight_hh), v("xlstm.slstm_cell.bias", bias);
  v("xlstm.group_norm", group_norm), v("ffn_norm", ffn_norm), v("ffn", ffn);
  if (dropout.p > 0) v("dropout", dropout);
}

Xlstm::Xlstm(const XlstmOptions& o, Random& random) : options_(o) {
  if (o.features < 1 || o.blocks < 1 || o.heads < 1 || o.round_to < 1) {
    fail("xlstm", fmt::format("features are {}, blocks {}, heads {}, round_to {}; expected 1 or "
                              "more of each",
                              o.features, o.blocks, o.heads, o.round_to));
  }
  for (const int at : o.slstm_at) {
    if (at < 0 || at >= o.blocks) {
      fail("xlstm", fmt::format("slstm_at has {}, expected numbers of blocks from 0 to {}", at,
                                o.blocks - 1));
    }
  }
  for (int b = 0; b < o.blocks; ++b) {
    const bool slstm = std::find(o.slstm_at.begin(), o.slstm_at.end(), b) != o.slstm_at.end();
    Block block;
    if (slstm) {
      block.slstm.emplace(o, o.blocks > 1 ? static_cast<double>(b) / (o.blocks - 1) : 0.0, random);
    } else {
      block.mlstm.emplace(o, random);
    }
    blocks_.push_back(std::move(block));
  }
  if (o.final_norm) post_blocks_norm_ = ScaledNorm(o.features, 1, o.dtype);
}

Xlstm::Result Xlstm::operator()(const Var& xs, const std::vector<XlstmState>& initial,
                                std::span<const std::int64_t> lengths) const {
  UnrollOptions options;
  options.lengths = lengths;
  options.caller = "xlstm";
  detail::check_sequence(xs, options);
  if (xs.dim(2) != options_.features) {
    fail("xlstm",
         fmt::format("xs is {}, expected [T, N, {}]", xs.shape().str(), options_.features));
  }
  if (!initial.empty() && initial.size() != blocks_.size()) {
    fail("xlstm", fmt::format("{} states were given, expected one for each of {} blocks",
                              initial.size(), blocks_.size()));
  }
  const Scope scope("xlstm");
  const detail::Masks masks(lengths, xs);
  Result result{masks.without_padding(xs), initial};
  result.last.resize(blocks_.size());
  for (std::size_t b = 0; b < blocks_.size(); ++b) {
    const Scope block("blocks." + std::to_string(b));
    XlstmState& state = result.last[b];
    result.ys = blocks_[b].mlstm ? (*blocks_[b].mlstm)(result.ys, state, lengths)
                                 : (*blocks_[b].slstm)(result.ys, state, lengths);
  }
  if (options_.final_norm) result.ys = post_blocks_norm_(result.ys);
  result.ys = masks.without_padding(result.ys);
  return result;
}

void Xlstm::visit(Visitor& v) const {
  v("blocks", blocks_);
  if (options_.final_norm) v("post_blocks_norm", post_blocks_norm_);
}

StateDict from_xlstm_package(const StateDict& saved, const XlstmOptions& o, bool cuda_layout) {
  const std::int64_t heads = o.heads, d = o.features / std::max<std::int64_t>(heads, 1);
  StateDict result;
  for (const NamedTensor& item : saved) {
    NamedTensor mine = item;
    const auto renamed = [&](const std::string& from, const std::string& to) {
      const std::size_t at = mine.name.find(from);
      if (at == std::string::npos) return false;
      mine.name.replace(at, from.size(), to);
      return true;
    };
    if (renamed("slstm_cell._recurrent_kernel_", "slstm_cell.weight_hh")) {
      const int axes_of_inputs[] = {2, 0, 3, 1}, axes_of_outputs[] = {1, 0, 2, 3};
      mine.tensor = cuda_layout ? item.tensor.reshape({heads, d, 4, d}).permute(axes_of_inputs)
                                : item.tensor.reshape({heads, 4, d, d}).permute(axes_of_outputs);
      mine.tensor = mine.tensor.contiguous().reshape({4 * o.features, d});
    } else if (renamed("slstm_cell._bias_", "slstm_cell.bias")) {
      const int axes[] = {1, 0, 2};
      if (cuda_layout) mine.tensor = item.tensor.reshape({heads, 4, d}).permute(axes).contiguous();
      mine.tensor = mine.tensor.reshape({4 * o.features});
    } else if (!renamed("xlstm.igate.", "xlstm.fgate.")) {
      // The package gives its fgate to the cell as the gate i, and its igate as f.
      renamed("xlstm.fgate.", "xlstm.igate.");
    }
    result.push_back(std::move(mine));
  }
  return result;
}

}  // namespace tapeloop::nn
