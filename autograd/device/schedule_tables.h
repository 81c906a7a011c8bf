// SPDX-License-Identifier: MIT
// ScheduleTables: the tables of a Schedule on a device. The first use on a device copies all of
// them; the Schedule keeps the copy. So a Schedule that is used many times is copied once.
#pragma once

#include "tapeloop/autograd/schedule/schedule.h"

namespace tapeloop::detail {

class ScheduleTables {
 public:
  // A captured step may use a Schedule that was on the device before the capture. Another one
  // interrupts the capture: the next run of the graph would not see its successor. If the Schedule
  // ends, the step is captured again. On the CPU nothing is copied.
  ScheduleTables(const Schedule& schedule, Device device);

  // A list of the schedule there, [size] int64: within one of schedule.tables(), not empty.
  Tensor list(std::span<const std::int64_t> host) const;
  // The address there of a number of a table; null: null.
  const std::int64_t* address(const std::int64_t* host) const;

 private:
  std::int64_t offset_of(const std::int64_t* host) const;

  std::array<std::span<const std::int64_t>, 5> host_;
  Tensor there_;  // all tables, one after the other; undefined on the CPU
};

}  // namespace tapeloop::detail
