// SPDX-License-Identifier: MIT
// The schedules that a layer on grids keeps, so that a batch of known sizes does not build them
// again.
#pragma once

#include <array>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "tapeloop/autograd/schedule/schedule.h"

namespace tapeloop::nn::detail {

// Keeps the schedules of the last four kinds of batches. For example training and validation each
// have full batches and a smaller last one. Copies of a layer share one GridSchedules. Several
// threads may call it.
class GridSchedules {
 public:
  // directions: as in GridOptions.
  explicit GridSchedules(std::span<const std::string> directions);
  // A schedule for each direction. sample_sizes: [N, D] or empty. Cost: a comparison of the sizes;
  // for a new kind of batch, making the schedules.
  PoolVector<Schedule> get(const Shape& sizes, std::int64_t n,
                           std::span<const std::int64_t> sample_sizes);

 private:
  struct Entry {
    Shape sizes;
    std::int64_t batch = 0;
    PoolVector<std::int64_t> sample_sizes;
    PoolVector<Schedule> schedules;
  };
  std::vector<unsigned> directions_;  // as in GridOrder
  std::mutex mutex_;
  std::array<Entry, 4> entries_;
  std::size_t next_ = 0;  // the entry that is replaced next
};

}  // namespace tapeloop::nn::detail
