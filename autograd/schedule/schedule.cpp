// SPDX-License-Identifier: MIT
#include "tapeloop/autograd/schedule/schedule.h"

#include <algorithm>

#include "tapeloop/autograd/schedule/builder.h"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop::detail {
namespace {

bool is_identity(const PoolVector<std::int64_t>& order) {
  std::int64_t next = 0;
  for (const std::int64_t number : order) {
    if (number != next++) return false;
  }
  return true;
}

}  // namespace

Schedule ScheduleBuilder::chain(std::int64_t steps, std::int64_t batch, bool reverse) {
  Schedule result;
  result.nodes_ = steps * batch;
  result.state_rows_ = (steps + 1) * batch;
  result.levels_ = steps;
  result.input_rows_ = result.nodes_;
  result.initial_rows_ = batch;
  result.slots_ = 1;
  result.reverse_ = reverse;
  result.batch_ = batch;
  return result;
}

// Finds the slots whose rows are all external states of zeros, such as the children of leaves.
void ScheduleBuilder::mark_zeros() {
  const Schedule::List &rows = tables_.external_rows, &from = tables_.external_from;
  const auto at_place = [&](const Schedule::List& list, std::int64_t i) {
    return list.table < 0 ? list.begin + i : tables_.rows[at(list.table + i)];
  };
  PoolVector<bool> zeros;  // by state row
  for (std::int64_t i = 0; i < from.count; ++i) {
    if (at_place(from, i) >= 0) continue;
    zeros.resize(at(nodes_ + rows.count), false);
    zeros[at(at_place(rows, i))] = true;
  }
  for (std::size_t s = 0; !zeros.empty() && s < tables_.slots.size(); ++s) {
    Schedule::List& slot = tables_.slots[s];
    std::int64_t i = 0;
    while (i < slot.count && zeros[at(at_place(slot, i))]) ++i;
    slot.zeros = i == slot.count;
  }
}

Schedule ScheduleBuilder::finish(std::int64_t input_rows, std::int64_t initial_rows) && {
  if (is_identity(tables_.order)) tables_.order.clear();
  const PoolVector<std::int64_t>& order = tables_.order;
  if (!order.empty() || nodes_ != input_rows) {
    tables_.node_of_row.resize(at(input_rows), -1);
    for (std::int64_t i = 0; i < nodes_; ++i) {
      tables_.node_of_row[at(order.empty() ? i : order[at(i)])] = i;
    }
  }
  mark_zeros();
  Schedule result;
  result.nodes_ = nodes_;
  result.state_rows_ = nodes_ + tables_.external_rows.count;
  result.levels_ = static_cast<std::int64_t>(tables_.levels.size());
  result.edges_ = tables_.edge_begins.empty() ? 0 : tables_.edge_begins.back();
  result.input_rows_ = input_rows;
  result.initial_rows_ = initial_rows;
  result.slots_ = slots_;
  result.edge_tables_ = edge_tables_;
  result.batch_ = batch_;
  result.tables_ = std::allocate_shared<const Schedule::Tables>(
      memory::Allocator<Schedule::Tables>(), std::move(tables_));
  return result;
}

Numbering number_by_level(const PoolVector<std::int64_t>& level_of,
                          std::span<const std::int64_t> sequence) {
  const auto nodes = static_cast<std::int64_t>(level_of.size());
  Numbering result{PoolVector<std::int64_t>(at(nodes)), PoolVector<std::int64_t>(at(nodes)), {}};
  if (nodes == 0) return result;
  PoolVector<std::int64_t>& ends = result.level_ends;
  ends.resize(at(*std::max_element(level_of.begin(), level_of.end()) + 1));
  for (const std::int64_t level : level_of) ++ends[at(level)];
  std::int64_t before = 0;
  for (std::int64_t& end : ends) before += std::exchange(end, before);
  for (std::int64_t i = 0; i < nodes; ++i) {
    const std::int64_t number = sequence.empty() ? i : sequence[at(i)];
    const std::int64_t node = ends[at(level_of[at(number)])]++;
    result.order[at(node)] = number;
    result.node_of[at(number)] = node;
  }
  return result;
}

std::int64_t product(const char* operation, std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  if (__builtin_mul_overflow(a, b, &result)) {
    fail(operation, "there are more nodes than int64 can count; check the sizes");
  }
  return result;
}

}  // namespace tapeloop::detail
