// SPDX-License-Identifier: MIT
// Masks: ones within each length, zeros past it.
#include "tapeloop/nn/recurrent/mask.h"

namespace tapeloop::nn::detail {

Tensor mask_within(std::span<const std::int64_t> lengths, std::int64_t steps, DType dtype,
                   Device device) {
  const auto batch = static_cast<std::int64_t>(lengths.size());
  const Tensor mask = Tensor::full({steps, batch}, 1.0, dtype);
  for (std::int64_t n = 0; n < batch; ++n) {
    mask.select(1, n).slice(0, lengths[static_cast<std::size_t>(n)], steps).fill(0.0);
  }
  return mask.to(device);
}

}  // namespace tapeloop::nn::detail
