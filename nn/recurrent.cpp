// SPDX-License-Identifier: MIT
// The checks of sequences and states, and the masks of variable lengths.
#include "nn/recurrent.h"

#include <fmt/format.h>

#include <algorithm>

#include "autograd/error.h"

namespace tapeloop::nn::detail {

void check_sequence(const Var& xs) {
  if (!xs.defined() || xs.rank() != 3) {
    fail("unroll", fmt::format("xs must be [T, N, I], got {}; add a batch axis by insert_axis(xs, 1)",
                               xs.defined() ? xs.shape().str() : "an undefined variable"));
  }
}

Tensor zero_state(const Var& xs, std::int64_t size) {
  return Tensor::zeros({xs.dim(1), size}, xs.dtype(), xs.device());
}

void check_state(const Var& part, std::size_t index, std::int64_t n, std::int64_t size) {
  if (part.shape() != Shape{n, size}) {
    fail("unroll", fmt::format("part {} of the initial state is {}, expected [N={}, {}]", index, part.shape().str(), n,
                               size));
  }
}

void check_stack(const RecurrentOptions& options) {
  if (options.layers < 1) fail("recurrent", fmt::format("layers is {}, expected 1 or more", options.layers));
  if (!(options.dropout >= 0 && options.dropout < 1)) {
    fail("recurrent", fmt::format("dropout is {}, expected 0 <= p < 1", options.dropout));
  }
}

Var part_of_state(const Var& part, std::int64_t index, std::int64_t count, std::int64_t n, std::int64_t size) {
  if (!part.defined() || part.shape() != Shape{count, n, size}) {
    fail("recurrent", fmt::format("a part of the initial state is {}, expected [layers * directions = {}, N = {}, {}]",
                                  part.defined() ? part.shape().str() : "undefined", count, n, size));
  }
  return select_index(part, 0, index);
}

Masks::Masks(std::span<const std::int64_t> lengths, const Var& xs)
    : lengths_(lengths), all_running_until_(xs.dim(0)), dtype_(xs.dtype()) {
  if (lengths.empty()) return;
  if (static_cast<std::int64_t>(lengths.size()) != xs.dim(1)) {
    fail("unroll", fmt::format("{} lengths were given for a batch of {}; xs is {}", lengths.size(), xs.dim(1),
                               xs.shape().str()));
  }
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    if (lengths[i] < 0 || lengths[i] > xs.dim(0)) {
      fail("unroll", fmt::format("length {} of sequence {} is outside 0..{}, the steps of xs {}", lengths[i], i,
                                 xs.dim(0), xs.shape().str()));
    }
    all_running_until_ = std::min(all_running_until_, lengths[i]);
  }
}

Var Masks::at(std::int64_t t) const {
  if (t < all_running_until_) return {};
  Tensor mask = Tensor::empty({static_cast<std::int64_t>(lengths_.size()), 1}, dtype_);
  for (std::size_t i = 0; i < lengths_.size(); ++i) {
    mask.select(0, static_cast<std::int64_t>(i)).fill(t < lengths_[i] ? 1.0 : 0.0);
  }
  return Var(std::move(mask));
}

}  // namespace tapeloop::nn::detail
