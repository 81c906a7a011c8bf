// SPDX-License-Identifier: MIT
// Rows of nodes and of edges by operations.
#include "tapeloop/autograd/sequence/edge_rows.h"

#include <algorithm>

#include "tapeloop/autograd/ops/ops.h"

namespace tapeloop {

EdgeRows::EdgeRows(const Schedule& schedule, std::int64_t first, std::int64_t end, DType dtype,
                   Device device) {
  std::int64_t nodes = 0, edges = 0;
  for (std::int64_t l = first; l < end; ++l) {
    nodes += schedule.level(l).count;
    edges += schedule.edges(l).count;
  }
  const Tensor index = Tensor::empty({edges}, DType::int64);
  const Tensor shares = Tensor::empty({nodes}, DType::float64);
  auto* node_of = static_cast<std::int64_t*>(index.raw());
  auto* share = static_cast<double*>(shares.raw());
  std::int64_t node = 0;
  for (std::int64_t l = first; l < end; ++l) {
    const std::int64_t* const begins = schedule.edges(l).begins;
    for (std::int64_t i = 0; i < schedule.level(l).count; ++i, ++node) {
      const std::int64_t count = begins[i + 1] - begins[i];
      node_of = std::fill_n(node_of, count, node);
      *share++ = count > 0 ? 1.0 / static_cast<double>(count) : 0.0;
    }
  }
  node_of_ = index.to(device);
  shares_ = shares.to(dtype).to(device);
}

Var EdgeRows::spread(const Var& x) const { return take(x, node_of_, 0); }
Var EdgeRows::sum(const Var& x) const { return add_rows(x, node_of_, nodes()); }
Var EdgeRows::mean(const Var& x) const {
  const Var total = sum(x);
  Shape shape{nodes()};
  while (shape.rank() < total.rank()) shape = shape.inserted(shape.rank(), 1);
  return total * Var(shares_.reshape(shape));
}

}  // namespace tapeloop
