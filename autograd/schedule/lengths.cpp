// SPDX-License-Identifier: MIT
// Lengths and resets of sequences.
#include "tapeloop/autograd/schedule/lengths.h"

#include <fmt/format.h>

#include <algorithm>

#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop::detail {

void check_lengths(const char* caller, std::span<const std::int64_t> lengths, const char* x,
                   const Shape& shape) {
  const std::int64_t T = shape.dim(0), N = shape.dim(1);
  if (!lengths.empty() && static_cast<std::int64_t>(lengths.size()) != N) {
    fail(caller, fmt::format("{} lengths were given for a batch of {}; give one for each sequence; "
                             "{} is {}",
                             lengths.size(), N, x, shape.str()));
  }
  for (std::size_t n = 0; n < lengths.size(); ++n) {
    if (lengths[n] < 0 || lengths[n] > T) {
      fail(caller, fmt::format("length {} of sequence {} is outside 0..{}, the number of time "
                               "steps; {} is {}",
                               lengths[n], n, T, x, shape.str()));
    }
  }
}

void check_resets(const char* caller, std::span<const std::uint8_t> resets, const char* x,
                  const Shape& shape) {
  const std::int64_t T = shape.dim(0), N = shape.dim(1);
  if (resets.empty() || static_cast<std::int64_t>(resets.size()) == T * N) return;
  fail(caller, fmt::format("{} resets were given for T = {} and N = {}; give {}, one for each time "
                           "step of each sequence, time by time; {} is {}",
                           resets.size(), T, N, T * N, x, shape.str()));
}

Tensor mask_within(std::span<const std::int64_t> lengths, std::int64_t T, DType dtype,
                   Device device) {
  const auto N = static_cast<std::int64_t>(lengths.size());
  const Tensor mask = Tensor::full({T, N}, 1.0, dtype);
  for (std::int64_t n = 0; n < N; ++n) {
    mask.select(1, n).slice(0, lengths[static_cast<std::size_t>(n)], T).fill(0.0);
  }
  return mask.to(device);
}

Tensor mask_of_resets(std::span<const std::uint8_t> resets, std::int64_t N, DType dtype,
                      Device device) {
  const auto T = static_cast<std::int64_t>(resets.size()) / std::max<std::int64_t>(N, 1);
  const Tensor flags = Tensor::empty({T, N}, DType::int64);
  std::transform(resets.begin(), resets.end(), flags.data<std::int64_t>(),
                 [](std::uint8_t flag) { return flag != 0 ? 1 : 0; });
  return flags.to(dtype).to(device);
}

}  // namespace tapeloop::detail
