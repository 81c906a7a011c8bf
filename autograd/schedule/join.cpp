// SPDX-License-Identifier: MIT
// The union of several Schedules: level l has the nodes of level l of each of them.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "tapeloop/autograd/schedule/builder.h"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop {
namespace {

using detail::at;
using detail::ScheduleBuilder;

constexpr const char* kName = "Schedule::join";

void check(std::span<const Schedule> parts) {
  if (parts.empty()) fail(kName, "no schedules were given; give at least one");
  const Schedule& first = parts.front();
  for (std::size_t k = 1; k < parts.size(); ++k) {
    if (parts[k].slots() == first.slots() && parts[k].edge_tables() == first.edge_tables())
      continue;
    fail(kName,
         fmt::format("schedule {} has {} slots and {} edge tables, schedule 0 has {} and {}; "
                     "join schedules of one kind, such as trees",
                     k, parts[k].slots(), parts[k].edge_tables(), first.slots(),
                     first.edge_tables()));
  }
}

class Join {
 public:
  explicit Join(std::span<const Schedule> parts)
      : parts_(parts), builder_(parts.front().slots(), parts.front().edge_tables()) {}

  Schedule build() && {
    count();
    number();
    slots();
    edges();
    // External states that no node reads, such as the initial states of sequences of length 0.
    each_external([&](std::int64_t k, std::int64_t row, std::int64_t) { new_row(k, row); });
    builder_.externals(
        externals_, [](std::int64_t i) { return i; },
        [&](std::int64_t i) { return external_from_[at(i)]; });
    PoolVector<std::int64_t> finals;
    for (std::int64_t k = 0; k < size(); ++k) {
      const Schedule::Rows rows = parts_[at(k)].finals();
      for (std::int64_t i = 0; i < rows.size(); ++i) finals.push_back(new_row(k, rows[i]));
    }
    builder_.finals(static_cast<std::int64_t>(finals.size()),
                    [&](std::int64_t i) { return finals[at(i)]; });
    return std::move(builder_).finish(input_rows_, initial_rows_);
  }

 private:
  static constexpr std::int64_t kNone = -1;

  struct Begin {
    std::int64_t input, state;  // where a part's input rows and state rows begin
  };

  std::int64_t size() const { return static_cast<std::int64_t>(parts_.size()); }

  // Calls work(level, parts) for each level: the numbers of the parts that have it.
  template <class Work>
  void each_level(Work work) const {
    PoolVector<std::int64_t> running(parts_.size());
    std::iota(running.begin(), running.end(), std::int64_t{0});
    for (std::int64_t l = 0;; ++l) {
      std::erase_if(running, [&](std::int64_t k) { return parts_[at(k)].levels() <= l; });
      if (running.empty()) return;
      work(l, running);
    }
  }
  // Calls work(part, state row, row of the initial states of all parts) for each external state.
  template <class Work>
  void each_external(Work work) const {
    std::int64_t first = 0;
    for (std::int64_t k = 0; k < size(); ++k) {
      const Schedule& part = parts_[at(k)];
      const Schedule::Rows rows = part.external_rows(), from = part.external_from();
      for (std::int64_t i = 0; i < rows.size(); ++i) {
        work(k, rows[i], from[i] < 0 ? kNone : first + from[i]);
      }
      first += part.initial_rows();
    }
  }

  void count() {
    std::int64_t states = 0;
    begins_.reserve(parts_.size());
    for (const Schedule& part : parts_) {
      begins_.push_back({input_rows_, states});
      input_rows_ += part.input_rows();
      initial_rows_ += part.initial_rows();
      states += part.state_rows();
      nodes_ += part.nodes();
      edges_ += part.edges();
    }
    from_.assign(at(states), kNone);
    new_rows_.assign(at(states), kNone);
    bool zeros = false;
    each_external([&](std::int64_t k, std::int64_t row, std::int64_t from) {
      from_[at(begins_[at(k)].state + row)] = from;
      zeros |= from == kNone;
      externals_ += from == kNone ? 0 : 1;
    });
    externals_ += zeros ? 1 : 0;  // one for all parts
    external_from_.reserve(at(externals_));
  }

  // Numbers the nodes and their states: level by level, in each level part by part.
  void number() {
    builder_.order().reserve(at(nodes_));
    each_level([&](std::int64_t l, const PoolVector<std::int64_t>& parts) {
      for (const std::int64_t k : parts) {
        const Schedule& part = parts_[at(k)];
        const Schedule::Level level = part.level(l);
        for (std::int64_t i = 0; i < level.count; ++i) {
          const auto node = static_cast<std::int64_t>(builder_.order().size());
          const std::int64_t old = level.first + i;
          const std::int64_t number = part.order().empty() ? old : part.order()[at(old)];
          builder_.order().push_back(begins_[at(k)].input + number);
          new_rows_[at(begins_[at(k)].state + level.state + i)] = externals_ + node;
        }
      }
    });
  }

  // The state row of the union for a state row of part k. External states get their rows in the
  // order in which the slots first read them, so that slots that read nothing else are ranges.
  std::int64_t new_row(std::int64_t k, std::int64_t row) {
    const std::int64_t place = begins_[at(k)].state + row;
    if (new_rows_[at(place)] == kNone) {
      const std::int64_t from = from_[at(place)];
      if (from == kNone && zeros_ != kNone) return new_rows_[at(place)] = zeros_;
      new_rows_[at(place)] = static_cast<std::int64_t>(external_from_.size());
      if (from == kNone) zeros_ = new_rows_[at(place)];
      external_from_.push_back(from);
    }
    return new_rows_[at(place)];
  }

  void slots() {
    PoolVector<std::int64_t> rows;
    std::int64_t first = 0;
    each_level([&](std::int64_t l, const PoolVector<std::int64_t>& parts) {
      std::int64_t count = 0;
      for (const std::int64_t k : parts) count += parts_[at(k)].level(l).count;
      builder_.level(first, count, externals_ + first);
      first += count;
      for (int p = 0; p < parts_.front().slots(); ++p) {
        rows.clear();
        for (const std::int64_t k : parts) {
          const Schedule::Rows of_part = parts_[at(k)].slot(l, p);
          for (std::int64_t i = 0; i < of_part.size(); ++i) rows.push_back(new_row(k, of_part[i]));
        }
        builder_.slot([&](std::int64_t i) { return rows[at(i)]; });
      }
    });
  }

  void edges() {
    const int tables = parts_.front().edge_tables();
    if (tables == 0) return;
    builder_.edge_begins().reserve(at(nodes_ + 1));
    builder_.edge_rows().resize(at(tables * edges_));
    std::int64_t edge = 0;
    each_level([&](std::int64_t l, const PoolVector<std::int64_t>& parts) {
      for (const std::int64_t k : parts) {
        const Schedule& part = parts_[at(k)];
        const Schedule::Edges of_level = part.edges(l);
        const std::int64_t shift = edge - of_level.first;
        for (std::int64_t i = 0; i < part.level(l).count; ++i) {
          builder_.edge_begins().push_back(of_level.begins[i] + shift);
        }
        for (std::int64_t e = of_level.first; e < of_level.first + of_level.count; ++e, ++edge) {
          for (int table = 0; table < tables; ++table) {
            builder_.edge_rows()[at(table * edges_ + edge)] = new_row(k, part.edge_rows(table)[e]);
          }
        }
      }
    });
    builder_.edge_begins().push_back(edge);
  }

  std::span<const Schedule> parts_;
  ScheduleBuilder builder_;
  PoolVector<Begin> begins_;           // by part
  PoolVector<std::int64_t> from_;      // by a part's state row: what an external state holds
  PoolVector<std::int64_t> new_rows_;  // by a part's state row
  PoolVector<std::int64_t> external_from_;
  std::int64_t zeros_ = kNone;  // the external state of zeros
  std::int64_t input_rows_ = 0, initial_rows_ = 0, nodes_ = 0, edges_ = 0, externals_ = 0;
};

}  // namespace

Schedule Schedule::join(std::span<const Schedule> schedules) {
  check(schedules);
  if (schedules.size() == 1) return schedules.front();
  return Join(schedules).build();
}

}  // namespace tapeloop
