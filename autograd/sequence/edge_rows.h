// SPDX-License-Identifier: MIT
// EdgeRows: the edges of some nodes, for operations on Vars. A value has a row for each edge, or a
// row for each node.
#pragma once

#include "tapeloop/autograd/schedule/schedule.h"
#include "tapeloop/autograd/tape/var.h"

namespace tapeloop {

class EdgeRows {
 public:
  // The edges of level l, or those of all levels, for values of this type on this device.
  EdgeRows(const Schedule& schedule, std::int64_t l, DType dtype, Device device)
      : EdgeRows(schedule, l, l + 1, dtype, device) {}
  EdgeRows(const Schedule& schedule, DType dtype, Device device)
      : EdgeRows(schedule, 0, schedule.levels(), dtype, device) {}

  std::int64_t edges() const { return node_of_.numel(); }  // how many there are
  std::int64_t nodes() const { return shares_.dim(0); }    // of how many nodes
  // x [nodes, ..] -> [edges, ..]: the row of each edge's node.
  Var spread(const Var& x) const;
  // x [edges, ..] -> [nodes, ..]: the sum or the mean over the edges of each node; 0 without edges.
  Var sum(const Var& x) const;
  Var mean(const Var& x) const;

 private:
  EdgeRows(const Schedule& schedule, std::int64_t first, std::int64_t end, DType dtype,
           Device device);

  Tensor node_of_;  // [edges] int64
  Tensor shares_;   // [nodes]: 1 / number of edges, or 0
};

}  // namespace tapeloop
