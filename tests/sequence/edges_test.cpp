// SPDX-License-Identifier: MIT
// Steps with edges: messages of wrong ones, large structures in linear time, and no heap
// allocation in the steady state.
#include "tests/allocations.h"
#include "tests/sequence/step_formulas.h"
#include "tests/sequence/step_kinds.h"

namespace tapeloop::test {
namespace {

Var weight(std::int64_t out, std::int64_t in) {
  return parameter(random_tensor({out, in}, 3, DType::float64, -0.5, 0.5));
}

// A child-sum LSTM with one hidden unit.
struct Small {
  Var w = weight(3, 1), u = weight(1, 1);
  Recurrence recurrence() const {
    Recurrence r;
    const auto z = of::input(0, 3) + of::product(w, of::sum_of_edges(of::edge_state(0)));
    const auto f = of::input(3, 1) + of::product(u, of::edge_state(0));
    const auto kept = r.stage(ForgetEdge{}, f, of::edge_state(1));
    r.next(r.stage(SumGates{}, z, of::mean_of_edges(kept[0])));
    return r;
  }
};

// Runs the small step, and the gradient of the sum of its results.
double run(const Schedule& schedule, bool second_order = false) {
  const Small cell;
  const Var x = parameter(random_tensor({schedule.nodes(), 4}, 5, DType::float64));
  const std::int64_t sizes[] = {1, 1};
  const Var state[2];
  Tape tape;
  const Var hs = recurrent(cell.recurrence(), x * 1.0, state, sizes, schedule).hs;
  const std::vector<Var> all = {x, cell.w, cell.u};
  std::vector<Var> first = tape.gradient(sum(hs), all, {.create_graph = second_order});
  if (second_order) first = tape.gradient(sum(square(first[0])), all);
  return sum(square(first[0])).item();
}

using Index = std::vector<std::int64_t>;

Index parents_of_chain(std::int64_t V) {
  Index parents;
  for (std::int64_t v = 0; v < V; ++v) parents.push_back(v - 1);
  return parents;
}
// A chain, each node of which has a leaf of its own: 2 V nodes, half of them in level 0.
Index parents_of_comb(std::int64_t V) {
  Index parents = parents_of_chain(V);
  for (std::int64_t v = 0; v < V; ++v) parents.push_back(v);
  return parents;
}

}  // namespace

TEST_CASE("wrong steps with edges are errors") {
  const Var w = weight(2, 2);
  const auto next_is = [](of::Source source) {
    Recurrence r;
    r.next({std::move(source)});
  };
  CHECK(
      throws_with("part 0 of the next state has a row for each edge; bring it to the nodes by "
                  "of::sum_of_edges() or of::mean_of_edges()",
                  [&] { next_is(of::product(w, of::edge_state(0))); }));
  CHECK(
      throws_with("of::sum_of_edges() was given a value with a row for each node; give it "
                  "of::edge_state()",
                  [&] { next_is(of::sum_of_edges(of::state(0))); }));
  CHECK(throws_with("of::mean_of_edges() was given a value with a row for each node",
                    [&] { next_is(of::mean_of_edges(of::product(w))); }));
  CHECK(throws_with("of::edge_state(0, 64): expected numbers from 0 to 63",
                    [&] { next_is(of::product(w, of::edge_state(0, 64))); }));
  CHECK(throws_with("a sum has a value with a row for each edge and one with a row for each node",
                    [&] { next_is(of::edge_state(0) + of::product(w, of::input())); }));
  CHECK(
      throws_with("part 1 of the next state must be the whole result of a formula, a product, a "
                  "layer norm or a sum of edges",
                  [&] {
                    Recurrence r;
                    const auto s = r.value(of::sum_of_edges(of::edge_state(0)));
                    r.next({s, s});
                  }));
}

TEST_CASE("a step and a schedule whose edges do not fit are errors") {
  const Small cell;
  const std::int64_t sizes[] = {1, 1};
  const Var state[2];
  const auto with = [&](const Recurrence& r, const Schedule& schedule) {
    recurrent(r, Var(Tensor::zeros({schedule.nodes(), 4}, DType::float64)), state, sizes, schedule);
  };
  CHECK(
      throws_with("\"sum_gates\": the step reads of::edge_state(), but the schedule has no edges; "
                  "give it one with edges, Schedule::trees_by_parent() or Schedule::graph()",
                  [&] { with(cell.recurrence(), Schedule::sequences(2, 3)); }));
  const Recurrence plain(nn::LstmGates{}, of::input() + of::product(weight(4, 1)), of::state(1));
  CHECK(
      throws_with("the schedule has edges, as graphs and trees by parents have, but the step "
                  "reads none of them",
                  [&] { with(plain, Schedule::graph(2, {})); }));
  CHECK(throws_with("the step reads 1 predecessors, but a node of this schedule has 0", [&] {
    with(plain, Schedule::trees_by_parent(Index{-1, 0}));
  }));
  Recurrence two;
  const auto near = of::sum_of_edges(of::edge_state(1, 1));
  two.next(two.stage(SumGates{}, of::input(0, 3), near));
  CHECK(
      throws_with("the step reads table 1 of the edges, but this schedule has 1 (trees have one, "
                  "graphs have two)",
                  [&] {
                    with(two, Schedule::trees_by_parent(Index{-1, 0}));
                  }));
  CHECK(throws_with("reads part 2 of the state, but makes 2 parts", [&] {
    Recurrence r;
    const auto s = of::sum_of_edges(of::edge_state(2));
    r.next(r.stage(SumGates{}, of::input(0, 1), of::input(1, 1), of::input(2, 1), s));
    with(r, Schedule::trees_by_parent(Index{-1, 0}));
  }));
  CHECK(throws_with("a sum of edges has 1 columns and is added to 2 of the input", [&] {
    Recurrence r;
    const auto s = r.value(of::input(0, 2) + of::sum_of_edges(of::edge_state(0)));
    r.next(r.stage(SumGates{}, s, of::input(0, 2)));
    with(r, Schedule::trees_by_parent(Index{-1, 0}));
  }));
  CHECK(throws_with("a single step has one predecessor and no edges", [&] {
    cell.recurrence().step(Var(Tensor::zeros({1, 4})), state);
  }));
}

TEST_CASE("structures of 100000 nodes take linear time") {
  constexpr std::int64_t kMany = 100000;
  Index star(kMany, kMany - 1);
  star.back() = -1;
  const Index begins(kMany + 1, 0);
  CHECK(std::isfinite(run(Schedule::trees_by_parent(parents_of_chain(kMany)))));
  CHECK(std::isfinite(run(Schedule::trees_by_parent(parents_of_comb(kMany / 2)))));
  CHECK(std::isfinite(run(Schedule::trees_by_parent(star))));
  CHECK(std::isfinite(run(Schedule::graph({begins, {}}))));  // isolated nodes
  // The second order runs by operations.
  CHECK(std::isfinite(run(Schedule::trees_by_parent(parents_of_comb(10000)), true)));
  CHECK(std::isfinite(run(Schedule::trees_by_parent(star), true)));
}

TEST_CASE("no nodes and no edges are allowed") {
  CHECK(run(Schedule::trees_by_parent({})) == 0);
  CHECK(std::isfinite(run(Schedule::trees_by_parent(Index{-1, -1}))));
  CHECK(std::isfinite(run(Schedule::trees_by_parent(Index{-1, -1}), true)));
}

TEST_CASE("a training step with edges allocates nothing on the heap in its steady state") {
  if (!can_count_allocations()) return;
  for (const StepKind& step : edge_step_kinds()) {
    CAPTURE(std::string(step.name));
    for (const Order& order : edge_orders()) {
      if (step.predecessors > order.schedule.slots()) continue;
      if (step.edge_tables > order.schedule.edge_tables()) continue;
      const StepTask task(step, order, 8, DType::float32);
      const auto train = [&] {
        Tape tape;
        const RecurrentResult result = task.run(true, true);
        Var loss = sum(square(result.hs));
        tape.backward(loss);
        for (const Var& x : task.parameters) x.zero_grad();
      };
      for (int i = 0; i < 3; ++i) train();
      const std::int64_t calls = allocations(), blocks = memory::stats().heap_calls;
      train();
      CHECK(allocations() == calls);
      CHECK(memory::stats().heap_calls == blocks);
    }
  }
}

}  // namespace tapeloop::test
