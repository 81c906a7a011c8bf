// SPDX-License-Identifier: MIT
#include "tests/schedule/schedule_oracle.h"

#include <algorithm>

namespace tapeloop::test {
namespace {

constexpr std::int64_t kUnused = INT64_MIN;

bool is_range_if_consecutive(const Schedule::Rows& list) {
  if (list.rows == nullptr) return list.begin >= 0;
  for (std::int64_t i = 0; i < list.count; ++i) {
    if (list[i] < 0 || list[i] != list[0] + i) return true;
  }
  return false;
}

std::int64_t user_number(const Schedule& schedule, std::int64_t node) {
  return schedule.order().empty() ? node : schedule.order()[at(node)];
}

// [state_rows]: the state in each row.
std::vector<std::int64_t> states_of(const Schedule& schedule) {
  std::vector<std::int64_t> states(at(schedule.state_rows()), kUnused);
  const auto put = [&](std::int64_t row, std::int64_t state) {
    REQUIRE(row >= 0);
    REQUIRE(row < schedule.state_rows());
    REQUIRE(states[at(row)] == kUnused);
    states[at(row)] = state;
  };
  for (std::int64_t l = 0; l < schedule.levels(); ++l) {
    const Schedule::Level level = schedule.level(l);
    REQUIRE(level.count >= 1);
    for (std::int64_t i = 0; i < level.count; ++i) {
      put(level.state + i, user_number(schedule, level.first + i));
    }
  }
  REQUIRE(schedule.external_rows().size() == schedule.external_from().size());
  for (std::int64_t i = 0; i < schedule.external_rows().size(); ++i) {
    const std::int64_t from = schedule.external_from()[i];
    REQUIRE(from >= -1);
    REQUIRE(from < schedule.initial_rows());
    put(schedule.external_rows()[i], from < 0 ? kZeros : initial_state(from));
  }
  REQUIRE(std::count(states.begin(), states.end(), kUnused) == 0);
  return states;
}

// [nodes]: the level of each node, by the schedule's numbers.
std::vector<std::int64_t> levels_of(const Schedule& schedule) {
  std::vector<std::int64_t> levels(at(schedule.nodes()), kUnused);
  for (std::int64_t l = 0; l < schedule.levels(); ++l) {
    const Schedule::Level level = schedule.level(l);
    for (std::int64_t i = level.first; i < level.first + level.count; ++i) {
      REQUIRE(i >= 0);
      REQUIRE(i < schedule.nodes());
      REQUIRE(levels[at(i)] == kUnused);
      levels[at(i)] = l;
    }
  }
  REQUIRE(std::count(levels.begin(), levels.end(), kUnused) == 0);
  return levels;
}

// The nodes that a schedule has, in the form of the expected ones.
std::map<std::int64_t, ExpectedNode> nodes_of(const Schedule& schedule,
                                              const std::vector<std::int64_t>& states) {
  std::map<std::int64_t, ExpectedNode> nodes;
  std::int64_t edges = 0;
  for (std::int64_t l = 0; l < schedule.levels(); ++l) {
    const Schedule::Level level = schedule.level(l);
    for (int p = 0; p < schedule.slots(); ++p) {
      bool zeros = true;
      for (std::int64_t i = 0; i < level.count; ++i) {
        zeros = zeros && states.at(at(schedule.slot(l, p)[i])) == kZeros;
      }
      REQUIRE(schedule.slot(l, p).zeros == zeros);
    }
    for (std::int64_t i = 0; i < level.count; ++i) {
      ExpectedNode node;
      for (int p = 0; p < schedule.slots(); ++p) {
        REQUIRE(schedule.slot(l, p).size() == level.count);
        REQUIRE(is_range_if_consecutive(schedule.slot(l, p)));
        node.slots.push_back(states.at(at(schedule.slot(l, p)[i])));
      }
      for (int table = 0; table < schedule.edge_tables(); ++table) {
        const Schedule::Edges of_level = schedule.edges(l);
        REQUIRE(of_level.begins[0] == of_level.first);
        REQUIRE(of_level.begins[level.count] == of_level.first + of_level.count);
        node.edges.emplace_back();
        for (std::int64_t e = of_level.begins[i]; e < of_level.begins[i + 1]; ++e) {
          node.edges.back().push_back(states.at(at(schedule.edge_rows(table)[e])));
          if (table == 0) ++edges;
        }
      }
      REQUIRE(nodes.emplace(user_number(schedule, level.first + i), node).second);
    }
  }
  REQUIRE(edges == schedule.edges());
  return nodes;
}

}  // namespace

void check_schedule(const Schedule& schedule, const Expected& expected) {
  CHECK(schedule.nodes() == static_cast<std::int64_t>(expected.nodes.size()));
  CHECK(schedule.slots() == expected.slots);
  CHECK(schedule.edge_tables() == expected.edge_tables);
  CHECK(schedule.has_edges() == (expected.edge_tables > 0));
  CHECK(schedule.input_rows() == expected.input_rows);
  CHECK(schedule.initial_rows() == expected.initial_rows);
  CHECK((schedule.order().empty() ||
         !std::is_sorted(schedule.order().begin(), schedule.order().end()) ||
         schedule.order().back() != schedule.nodes() - 1));
  CHECK(schedule.state_rows() == schedule.nodes() + schedule.external_rows().size());
  CHECK(is_range_if_consecutive(schedule.external_rows()));
  CHECK(is_range_if_consecutive(schedule.external_from()));
  CHECK(is_range_if_consecutive(schedule.finals()));

  const std::vector<std::int64_t> states = states_of(schedule);
  const std::vector<std::int64_t> levels = levels_of(schedule);
  const std::map<std::int64_t, ExpectedNode> nodes = nodes_of(schedule, states);
  REQUIRE(nodes.size() == expected.nodes.size());
  std::map<std::int64_t, std::int64_t> level_of;
  for (std::int64_t i = 0; i < schedule.nodes(); ++i) {
    level_of[user_number(schedule, i)] = levels[at(i)];
  }
  std::int64_t wrong = 0, too_early = 0, wrong_level = 0;
  for (const auto& [number, node] : nodes) {
    const auto found = expected.nodes.find(number);
    REQUIRE(found != expected.nodes.end());
    wrong += node.slots != found->second.slots || node.edges != found->second.edges;
    std::int64_t earliest = 0;
    const auto see = [&](const std::vector<std::int64_t>& read) {
      for (const std::int64_t state : read) {
        if (state >= 0) earliest = std::max(earliest, level_of.at(state) + 1);
      }
    };
    see(node.slots);
    for (const auto& edges : node.edges) see(edges);
    const std::int64_t level = level_of.at(number), wanted = found->second.level;
    too_early += level < earliest;
    wrong_level += level != (wanted == kEarliest ? earliest : wanted);
  }
  CHECK(wrong == 0);
  CHECK(too_early == 0);
  CHECK(wrong_level == 0);
  std::vector<std::int64_t> finals;
  for (std::int64_t i = 0; i < schedule.finals().size(); ++i) {
    finals.push_back(states.at(at(schedule.finals()[i])));
  }
  CHECK(finals == expected.finals);
}

std::vector<std::int64_t> contents(const Schedule& schedule) {
  std::vector<std::int64_t> all{
      schedule.nodes(),      schedule.state_rows(),   schedule.levels(),
      schedule.slots(),      schedule.edge_tables(),  schedule.edges(),
      schedule.input_rows(), schedule.initial_rows(), schedule.is_chain() ? 1 : 0};
  const auto add = [&](const Schedule::Rows& list) {
    all.push_back(list.rows == nullptr ? 1 : 0);
    all.push_back(list.size());
    for (std::int64_t i = 0; i < list.size(); ++i) all.push_back(list[i]);
  };
  for (std::int64_t l = 0; l < schedule.levels(); ++l) {
    const Schedule::Level level = schedule.level(l);
    all.insert(all.end(), {level.first, level.count, level.state});
    for (int p = 0; p < schedule.slots(); ++p) add(schedule.slot(l, p));
    if (schedule.has_edges()) {
      const Schedule::Edges edges = schedule.edges(l);
      all.insert(all.end(), edges.begins, edges.begins + level.count + 1);
    }
  }
  for (int table = 0; table < schedule.edge_tables(); ++table) {
    all.insert(all.end(), schedule.edge_rows(table), schedule.edge_rows(table) + schedule.edges());
  }
  all.push_back(static_cast<std::int64_t>(schedule.order().size()));
  all.insert(all.end(), schedule.order().begin(), schedule.order().end());
  add(schedule.external_rows());
  add(schedule.external_from());
  add(schedule.finals());
  return all;
}

}  // namespace tapeloop::test
