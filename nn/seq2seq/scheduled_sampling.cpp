// SPDX-License-Identifier: MIT
// The curves of the schedule, and their checks.
#include "tapeloop/nn/seq2seq/scheduled_sampling.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop::nn {

double ScheduledSampling::truth_probability(std::int64_t update) const {
  const char* name = "scheduled_sampling";
  if (update < 0) fail(name, fmt::format("update is {}, expected 0 or more", update));
  if (!(at_least >= 0 && at_least <= 1)) {
    fail(name, fmt::format("at_least is {}, expected a probability, 0 to 1", at_least));
  }
  const double i = static_cast<double>(update);
  double p = 1;
  switch (decay) {
    case Decay::none: return 1;
    case Decay::linear:
      if (!(start >= 0 && start <= 1 && slope >= 0 && std::isfinite(slope))) {
        fail(name, fmt::format("linear with start {}, slope {}: expected 0 <= start <= 1 and a "
                               "finite slope of 0 or more",
                               start, slope));
      }
      p = start - slope * i;
      break;
    case Decay::exponential:
      if (!(k > 0 && k < 1))
        fail(name, fmt::format("exponential with k {}: expected 0 < k < 1", k));
      p = std::pow(k, i);
      break;
    case Decay::inverse_sigmoid:
      if (!(k >= 1 && std::isfinite(k))) {
        fail(name, fmt::format("inverse sigmoid with k {}: expected 1 or more", k));
      }
      p = k / (k + std::exp(i / k));
      break;
  }
  return std::clamp(p, at_least, 1.0);
}

}  // namespace tapeloop::nn
