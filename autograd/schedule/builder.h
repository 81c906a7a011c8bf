// SPDX-License-Identifier: MIT
// ScheduleBuilder: makes the tables of a Schedule level by level. Private to the builders of
// autograd/schedule, which check what the user gives.
#pragma once

#include <span>
#include <utility>

#include "tapeloop/autograd/schedule/schedule.h"

namespace tapeloop::detail {

class ScheduleBuilder {
 public:
  explicit ScheduleBuilder(int slots, int edge_tables = 0)
      : slots_(slots), edge_tables_(edge_tables) {}

  static Schedule chain(std::int64_t steps, std::int64_t batch, bool reverse);

  // Starts the next level. Then call slot() or range() once for each slot.
  void level(std::int64_t first, std::int64_t count, std::int64_t state) {
    tables_.levels.push_back({first, count, state});
    nodes_ += count;
  }
  // The next slot: node i of the level reads state row row(i).
  template <class Row>
  void slot(Row row) {
    tables_.slots.push_back(list(tables_.levels.back().count, row));
  }
  // The next slot: node i of the level reads state row begin + i.
  void range(std::int64_t begin) {
    tables_.slots.push_back({begin, tables_.levels.back().count, -1, false});
  }
  // External state i is in state row row(i), and holds row from(i) of the initial states.
  template <class Row, class From>
  void externals(std::int64_t count, Row row, From from) {
    tables_.external_rows = list(count, row);
    tables_.external_from = list(count, from);
  }
  template <class Row>
  void finals(std::int64_t count, Row row) {
    tables_.finals = list(count, row);
  }
  void batch(std::int64_t n) { batch_ = n; }  // see Schedule::batch()
  PoolVector<std::int64_t>& order() { return tables_.order; }
  PoolVector<std::int64_t>& edge_begins() { return tables_.edge_begins; }
  PoolVector<std::int64_t>& edge_rows() { return tables_.edge_rows; }

  // Makes the Schedule. `input_rows`, `initial_rows`: of the user's inputs and initial states.
  Schedule finish(std::int64_t input_rows, std::int64_t initial_rows) &&;

 private:
  // The rows row(0) .. row(count - 1): a range if they are consecutive, else a table.
  template <class Row>
  Schedule::List list(std::int64_t count, Row row) {
    Schedule::List result{count > 0 ? row(0) : 0, count, -1, false};
    std::int64_t consecutive = 0;
    if (result.begin >= 0) {
      while (consecutive < count && row(consecutive) == result.begin + consecutive) ++consecutive;
    }
    if (consecutive == count) return result;
    result.table = static_cast<std::int64_t>(tables_.rows.size());
    for (std::int64_t i = 0; i < count; ++i) tables_.rows.push_back(row(i));
    return result;
  }

  void mark_zeros();

  int slots_, edge_tables_;
  std::int64_t nodes_ = 0, batch_ = 0;
  Schedule::Tables tables_;
};

// `index` as a position in a vector.
inline std::size_t at(std::int64_t index) { return static_cast<std::size_t>(index); }

// Nodes numbered level by level.
struct Numbering {
  PoolVector<std::int64_t> order;       // the user's number of each node
  PoolVector<std::int64_t> node_of;     // the node of each of the user's numbers
  PoolVector<std::int64_t> level_ends;  // by level: the number after its last node

  // Calls work(first node, number of nodes) for each level.
  template <class Work>
  void each_level(Work work) const {
    std::int64_t first = 0;
    for (const std::int64_t end : level_ends) {
      work(first, end - first);
      first = end;
    }
  }
};
// level_of: by the user's numbers. The nodes of a level stand in the order of `sequence`, which has
// each of the user's numbers once; if it is empty, in the order of these numbers.
Numbering number_by_level(const PoolVector<std::int64_t>& level_of,
                          std::span<const std::int64_t> sequence = {});

// a b; throws Error("operation: ...") if int64 cannot hold it.
std::int64_t product(const char* operation, std::int64_t a, std::int64_t b);

}  // namespace tapeloop::detail
