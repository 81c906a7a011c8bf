// SPDX-License-Identifier: MIT
// Chooses the length of the segments of a recomputed sequence, and joins their outputs.
#include "tapeloop/nn/recurrent/segments.h"

#include <fmt/format.h>

#include <algorithm>

#include "tapeloop/autograd/device/backend.h"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop::nn::detail {

void check_recompute(const Recompute& recompute, const char* caller) {
  if (recompute.steps < 0 || !(recompute.fit_mib >= 0)) {
    fail(caller, fmt::format("recompute has steps = {}, fit_mib = {}; expected numbers above 0, or "
                             "0 for the one that is not used",
                             recompute.steps, recompute.fit_mib));
  }
  if (recompute.steps > 0 && recompute.fit_mib > 0) {
    fail(caller, fmt::format("recompute has both steps = {} and fit_mib = {}; give one of them",
                             recompute.steps, recompute.fit_mib));
  }
}

Segments cut_into_segments(std::int64_t steps_in_all, std::int64_t steps, bool reverse) {
  Segments result;
  for (std::int64_t left = steps_in_all; left > 0; left -= steps)
    result.sizes.push_back(std::min(left, steps));
  // The short segment is the first in step order, which is the last in time if `reverse`.
  if (!reverse) std::reverse(result.sizes.begin(), result.sizes.end());
  return result;
}

std::int64_t fitting_steps(std::int64_t t, std::int64_t n, Device device, const UnrollBytes& bytes,
                           double mib) {
  const double limit = mib * 1048576.0;
  const auto segmented = [&](std::int64_t steps) {
    const std::int64_t boundaries = (t + steps - 1) / steps;
    return static_cast<double>(bytes.fixed + bytes.results + steps * bytes.per_step +
                               boundaries * bytes.per_boundary);
  };
  if (static_cast<double>(bytes.fixed + bytes.results + t * bytes.per_step) <= limit) return t;
  const std::int64_t group =
      (backend(device).gradient_rows() + n - 1) / std::max<std::int64_t>(1, n);
  if (group < t && segmented(group) <= limit) return group;
  for (const std::int64_t unit : {group, std::int64_t{1}}) {
    for (std::int64_t steps = t / unit * unit; steps > 0; steps -= unit) {
      if (segmented(steps) <= limit) return steps;
    }
  }
  double least = segmented(1);
  for (std::int64_t steps = 2; steps <= t; ++steps) least = std::min(least, segmented(steps));
  fail("unroll", fmt::format("{} steps of a batch of {} do not fit into {} MiB: they need at least "
                             "{:.1f} MiB; raise recompute.fit_mib, or use a smaller batch",
                             t, n, mib, least / 1048576.0));
}

std::int64_t packed_bytes(std::span<const Var> weights) {
  std::int64_t bytes = 0;
  for (const Var& w : weights) {
    if (w.rank() == 2) bytes += backend(w.device()).kept_bytes(w.value());
  }
  return bytes;
}

Var join(std::span<const Var> parts, const Tensor& whole) {
  PoolVector<const Var*> inputs;
  PoolVector<std::int64_t> ends;
  for (const Var& part : parts) {
    inputs.push_back(&part);
    ends.push_back((ends.empty() ? 0 : ends.back()) + part.dim(0));
  }
  Var result(whole);
  if (Recorder::wanted("join", inputs)) {
    Recorder::record("join", inputs, {&result, 1}, [ends](const Var& dy, Grads& grads) {
      std::int64_t start = 0;
      for (std::size_t i = 0; i < ends.size(); ++i) {
        grads.add(static_cast<int>(i), [&] { return slice(dy, 0, start, ends[i]); });
        start = ends[i];
      }
    });
  }
  return result;
}

PoolVector<std::int64_t> lengths_within(std::span<const std::int64_t> lengths, std::int64_t first,
                                        std::int64_t steps) {
  PoolVector<std::int64_t> result;
  for (std::int64_t length : lengths)
    result.push_back(std::clamp<std::int64_t>(length - first, 0, steps));
  return result;
}

}  // namespace tapeloop::nn::detail
