// SPDX-License-Identifier: MIT
// What a Schedule must say, as a list of nodes by the user's numbers, and the comparison of a
// Schedule with such a list. The list is written by the definition of each structure, without
// levels, rows and ranges.
#pragma once

#include <doctest/doctest.h>

#include <cstdint>
#include <map>
#include <random>
#include <vector>

#include "tapeloop/autograd/schedule/schedule.h"
#include "tests/support.h"

namespace tapeloop::test {

inline std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

// Random integers, the same in every run.
class Draw {
 public:
  std::int64_t operator()(std::int64_t low, std::int64_t high) {  // both included
    return low + static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>(high - low + 1));
  }

 private:
  std::mt19937_64 random_{kSeed};
};

// A state that a node reads: the state of node n is n. External states are negative.
inline constexpr std::int64_t kZeros = -1;
inline std::int64_t initial_state(std::int64_t row) { return -2 - row; }

inline constexpr std::int64_t kEarliest = -1;

struct ExpectedNode {
  std::vector<std::int64_t> slots = {};               // a state for each slot
  std::vector<std::vector<std::int64_t>> edges = {};  // [edge tables]: a state for each edge
  std::int64_t level = kEarliest;                     // kEarliest: the first in which it can run
};

struct Expected {
  std::map<std::int64_t, ExpectedNode> nodes = {};  // by the user's numbers
  int slots = 0, edge_tables = 0;
  std::int64_t input_rows = 0, initial_rows = 0;
  std::vector<std::int64_t> finals = {};  // a state for each sequence
};

// Checks every accessor of the schedule. Each node reads the states that are expected, in the level
// that is expected, after all nodes that it reads. Each state row has one state. Lists of
// consecutive rows are ranges.
void check_schedule(const Schedule& schedule, const Expected& expected);

// All that a schedule says, as numbers: equal schedules have equal lists.
std::vector<std::int64_t> contents(const Schedule& schedule);

}  // namespace tapeloop::test
