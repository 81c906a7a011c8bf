// SPDX-License-Identifier: MIT
// Construction of the clockwork RNN.
#include "tapeloop/nn/cells/clockwork.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop::nn {

ClockworkCell::ClockworkCell(const RecurrentOptions& o, Random& random, const Options& own)
    : w(GateWeights("clockwork", 1, o, random).with_one_bias()) {
  const auto groups = static_cast<std::int64_t>(own.periods.size());
  if (groups < 1 || o.hidden % groups != 0) {
    fail("clockwork", fmt::format("hidden {} cannot be divided into {} equal groups, one for each "
                                  "period",
                                  o.hidden, groups));
  }
  constexpr std::int64_t kMost = std::int64_t{1} << 24;  // float32 counts so far
  if (own.periods.front() < 1 || own.periods.back() > kMost ||
      !std::is_sorted(own.periods.begin(), own.periods.end())) {
    fail("clockwork", fmt::format("periods are {}; expected numbers from 1 to 2^24 that rise from "
                                  "group to group",
                                  fmt::join(own.periods, ", ")));
  }
  const Tensor blocks = Tensor::zeros({o.hidden, o.hidden}, o.dtype);
  const Tensor steps = Tensor::zeros({o.hidden}, o.dtype);
  const std::int64_t size = o.hidden / groups;
  for (std::int64_t j = 0; j < groups; ++j) {
    const std::int64_t first = j * size, end = first + size;
    steps.slice(0, first, end).fill(static_cast<double>(own.periods[static_cast<std::size_t>(j)]));
    blocks.slice(0, first, end).slice(1, first, o.hidden).fill(1);
  }
  reads = detail::FixedNumbers(blocks);
  periods = detail::FixedNumbers(steps);
}

}  // namespace tapeloop::nn
