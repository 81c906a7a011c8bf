// SPDX-License-Identifier: MIT
// Padding, and the order of sentences.
#include "examples/seq2seq/data/batches.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <tuple>

#include "tapeloop/autograd/ops/ops.h"
#include "tapeloop/autograd/tensor/error.h"

namespace seq2seq {
namespace {

using tapeloop::DType;
using tapeloop::Tensor;

constexpr std::size_t kPoolBatches = 50;

template <class Item>
void shuffle(std::span<Item> items, tapeloop::Random& random) {  // Fisher and Yates
  for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[random.below(i)]);
}

}  // namespace

Batch make_batch(std::span<const Example* const> examples) {
  if (examples.empty()) tapeloop::fail("make_batch", "no examples; expected at least one");
  std::size_t longest_source = 0, longest_target = 0;
  for (const Example* example : examples) {
    if (example->source.empty()) {
      tapeloop::fail("make_batch", "the source of an example is empty; leave it out");
    }
    longest_source = std::max(longest_source, example->source.size());
    longest_target = std::max(longest_target, example->target.size() + 1);
  }
  const auto n = static_cast<std::int64_t>(examples.size());
  const auto steps = static_cast<std::int64_t>(longest_target);
  Batch batch;
  batch.source = Tensor::full({static_cast<std::int64_t>(longest_source), n},
                              static_cast<double>(kPad), DType::int64);
  batch.inputs = Tensor::full({steps, n}, static_cast<double>(kPad), DType::int64);
  batch.targets = Tensor::full({steps, n}, static_cast<double>(kIgnored), DType::int64);
  for (std::size_t i = 0; i < examples.size(); ++i) {
    const auto& [source, target] = *examples[i];
    const auto at = [&](Tensor& tensor, std::size_t step) -> std::int64_t& {
      return tensor.data<std::int64_t>()[step * examples.size() + i];
    };
    for (std::size_t s = 0; s < source.size(); ++s) at(batch.source, s) = source[s];
    for (std::size_t t = 0; t <= target.size(); ++t) {
      at(batch.inputs, t) = t == 0 ? kStart : target[t - 1];
      at(batch.targets, t) = t == target.size() ? kEnd : target[t];
    }
    batch.source_lengths.push_back(static_cast<std::int64_t>(source.size()));
    batch.target_lengths.push_back(static_cast<std::int64_t>(target.size()) + 1);
    batch.symbols += batch.target_lengths.back();
  }
  return batch;
}

Batches::Batches(std::span<const Example> examples, std::int64_t batch_size,
                 const tapeloop::Random& random)
    : examples_(examples), size_(batch_size), random_(random) {
  if (examples.empty() || batch_size < 1) {
    tapeloop::fail("batches",
                   fmt::format("{} examples in batches of {}; expected at least one of each",
                               examples.size(), batch_size));
  }
  begin_pass();
}

void Batches::begin_pass() {
  pass_ = random_.next;
  at_ = 0;
  order_.resize(examples_.size());
  std::iota(order_.begin(), order_.end(), std::size_t{0});
  shuffle(std::span(order_), random_);
  batches_.clear();
  const std::span<const std::size_t> all(order_);
  const auto size = static_cast<std::size_t>(size_), pool = size * kPoolBatches;
  for (std::size_t first = 0; first < order_.size(); first += pool) {
    const std::size_t last = std::min(order_.size(), first + pool);
    std::stable_sort(order_.begin() + static_cast<std::ptrdiff_t>(first),
                     order_.begin() + static_cast<std::ptrdiff_t>(last),
                     [&](std::size_t a, std::size_t b) {
                       const Example &x = examples_[a], &y = examples_[b];
                       return std::tuple(x.source.size(), x.target.size()) <
                              std::tuple(y.source.size(), y.target.size());
                     });
    for (std::size_t i = first; i < last; i += size) {
      batches_.push_back(all.subspan(i, std::min(size, last - i)));
    }
  }
  shuffle(std::span(batches_), random_);
}

Batch Batches::next() {
  if (at_ == batches_.size()) begin_pass();
  std::vector<const Example*> chosen;
  for (std::size_t i : batches_[at_++]) chosen.push_back(&examples_[i]);
  return make_batch(chosen);
}

tapeloop::StateDict Batches::state_dict() const {
  const auto number = [](std::uint64_t value) {
    return Tensor::from<std::int64_t>({}, {static_cast<std::int64_t>(value)});
  };
  return {{"examples", number(examples_.size())}, {"pass", number(pass_)}, {"next", number(at_)}};
}

void Batches::load_state_dict(const tapeloop::StateDict& state) {
  std::int64_t pass = -1, next = -1, count = -1;
  for (const auto& [name, tensor] : state) {
    if (tensor.dtype() != DType::int64 || tensor.numel() != 1) continue;
    const std::int64_t value = *tensor.contiguous().read<std::int64_t>();
    if (name == "examples") count = value;
    if (name == "pass") pass = value;
    if (name == "next") next = value;
  }
  const auto own = static_cast<std::int64_t>(examples_.size());
  if (pass < 0 || next < 0 || next > per_pass() || count != own ||
      state.size() != state_dict().size()) {
    tapeloop::fail(
        "batches",
        fmt::format("the saved state is that of {} examples, pass {}, next batch {}; this run has "
                    "{} examples in {} batches; give the data and the --batch of the saved run",
                    count, pass, next, own, per_pass()));
  }
  random_.next = static_cast<std::uint64_t>(pass);
  begin_pass();
  at_ = static_cast<std::size_t>(next);
}

std::vector<std::string> copied_through(std::span<const std::int64_t> ids, const Tensor& weights,
                                        const std::vector<std::string>& source,
                                        const Vocabulary& vocabulary) {
  const auto rows = static_cast<std::int64_t>(ids.size());
  const auto columns = static_cast<std::int64_t>(source.size());
  if (weights.defined() &&
      (weights.rank() != 2 || weights.dim(0) < rows || weights.dim(1) < columns)) {
    tapeloop::fail("copied_through", fmt::format("weights are {}, expected at least [{}, {}]",
                                                 weights.describe(), rows, columns));
  }
  std::vector<std::string> units;
  for (std::size_t t = 0; t < ids.size() && ids[t] != kEnd; ++t) {
    const bool copied = ids[t] == kUnknown && weights.defined() && !source.empty();
    if (!copied) {
      for (std::string& unit : vocabulary.decode(ids.subspan(t, 1)))
        units.push_back(std::move(unit));
      continue;
    }
    const Tensor row = weights.select(0, static_cast<std::int64_t>(t));
    const Tensor best = tapeloop::argmax(row.slice(0, 0, columns));
    units.push_back(source[static_cast<std::size_t>(*best.read<std::int64_t>())]);
  }
  return units;
}

}  // namespace seq2seq
