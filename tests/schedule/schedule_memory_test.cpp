// SPDX-License-Identifier: MIT
// Making schedules allocates nothing on the heap in the steady state, and copies take no memory.
// Counts calls of operator new and blocks of the pool; measures no time.
#include <array>

#include "tests/allocations.h"
#include "tests/schedule/schedule_expected.h"

namespace tapeloop::test {
namespace {

// One schedule of each kind, and unions of them.
class Builds {
 public:
  Builds() {
    Draw draw;
    lengths_ = {7, 0, 3, 9};
    resets_.assign(36, 0);
    resets_[13] = 1;
    own_ = {2, 3, 4, 1, 3, 3};
    parents_ = random_parents(30, draw);
    children_ = children_of(parents_, 30, draw);
    lists_ = lists_of(random_graph(30, draw));
    order_ = shuffled(30, draw);
  }

  void run() const {
    const std::array<Schedule, 2> sequences = {
        Schedule::sequences(9, 4, {.lengths = lengths_}),
        Schedule::sequences(9, 4, {.reverse = true, .lengths = lengths_, .resets = resets_})};
    const std::array<Schedule, 3> grids = {Schedule::grid({4, 3}, 2, {.directions = 1}),
                                           Schedule::grid({4, 3}, 3, {.sample_sizes = own_}),
                                           Schedule::grid({1, 5}, 1)};
    const Schedule cube = Schedule::grid({3, 2, 4}, 2);
    const Schedule graph = Schedule::graph(lists_.view(), order_);
    const std::array<std::array<std::int64_t, 2>, 3> edges = {{{0, 1}, {1, 2}, {3, 0}}};
    const std::array<Schedule, 2> graphs = {graph, Schedule::graph(4, edges)};
    const std::array<Schedule, 2> trees = {Schedule::trees_by_parent(parents_),
                                           Schedule::trees_by_parent(parents_)};
    const Schedule ordered = Schedule::trees_by_children(children_, 30);
    const Schedule all_sequences = Schedule::join(sequences), all_grids = Schedule::join(grids);
    const Schedule all_graphs = Schedule::join(graphs), all_trees = Schedule::join(trees);
  }

 private:
  Index lengths_, own_, parents_, children_, order_;
  std::vector<std::uint8_t> resets_;
  Lists lists_;
};

}  // namespace

TEST_CASE("making the same schedules again allocates nothing") {
  if (!can_count_allocations()) return;
  const Builds builds;
  builds.run();
  builds.run();
  const std::int64_t calls = allocations(), blocks = memory::stats().heap_calls;
  builds.run();
  CHECK(allocations() == calls);
  CHECK(memory::stats().heap_calls == blocks);
}

TEST_CASE("a chain and a copy of any schedule take no memory") {
  const Schedule trees = Schedule::trees_by_parent(Index{-1, 0, 0});
  const std::int64_t calls = allocations(), live = memory::stats().live_bytes;
  const Schedule chain = Schedule::sequences(1000, 1000);
  const Schedule copy = trees;  // NOLINT: the copy is what is tested
  CHECK(copy.edge_rows(0) == trees.edge_rows(0));
  CHECK(chain.is_chain());
  CHECK(memory::stats().live_bytes == live);
  CHECK(allocations() == calls);
}

TEST_CASE("the last copy of a schedule gives its memory back") {
  const std::int64_t live = memory::stats().live_bytes;
  {
    Schedule first = Schedule::grid({5, 5}, 2);
    const std::int64_t with_one = memory::stats().live_bytes;
    CHECK(with_one > live);
    const Schedule second = first;
    first = Schedule();
    CHECK(memory::stats().live_bytes == with_one);
    CHECK(second.nodes() == 50);
  }
  CHECK(memory::stats().live_bytes == live);
}

}  // namespace tapeloop::test
