// SPDX-License-Identifier: MIT
// Trees and graphs: messages of wrong ones, large ones in linear time, no heap allocation in the
// steady state.
#include "tests/allocations.h"
#include "tests/nn/structure_cells.h"

namespace tapeloop::test {

TEST_CASE("wrong trees and graphs are errors") {
  Random random(11);
  const nn::ChildSumTreeLstm tree(tree_options(), random);
  const nn::GraphLstm graph(graph_options(), random);
  CHECK(throws_with("Schedule::trees_by_parent: node 0 is its own ancestor; trees have no cycles",
                    [&] {
                      tree(values({2, kI}, 1), Schedule::trees_by_parent(Index{1, 0}));
                    }));
  const Schedule two = Schedule::trees_by_parent(Index{-1, 0});
  CHECK(
      throws_with("tree: x is [3, 3], expected [V=2, I], a row for each node of the schedule", [&] {
        tree(values({3, kI}, 1), two);
      }));
  CHECK(throws_with("the step reads of::edge_state(), but the schedule has no edges", [&] {
    tree(values({2, kI}, 1), Schedule::trees_by_children(Index{-1, 0}, 1));
  }));
  const nn::NaryTreeLstm nary(tree_options(3), random);
  CHECK(throws_with("the step reads 3 predecessors, but a node of this schedule has 2", [&] {
    nary(values({2, kI}, 1), Schedule::trees_by_children(Index{-1, -1, 0, -1}, 2));
  }));
  CHECK(throws_with("tree: a node of this schedule has 3 children, the cell reads 2", [&] {
    nn::NaryTreeLstm(tree_options(2), random)(
        values({2, kI}, 1), Schedule::trees_by_children(Index{-1, -1, -1, 0, -1, -1}, 3));
  }));
  const Index begins = {0, 1, 2}, others = {1, 0};
  CHECK(throws_with("tree: the schedule has 2 tables of edges, the cell reads 1", [&] {
    tree(values({2, kI}, 1), Schedule::graph({begins, others}));
  }));
  CHECK(throws_with("tree: the layers were made by the default constructor", [&] {
    nn::NaryTreeLstm()(values({2, kI}, 1), Schedule::trees_by_children(Index{-1, -1, 0, -1}, 2));
  }));
  CHECK(throws_with("graph: part 1 of the initial states is [2, 3], expected [V=2, 4]", [&] {
    graph(values({2, kI}, 1), Schedule::graph(2, {}),
          GraphState(values({2, kH}, 2), values({2, 3}, 2)));
  }));
  CHECK(throws_with("graph: layers is 0, expected 1 or more",
                    [&] { nn::GraphLstm({.input = 1, .hidden = 1, .layers = 0}, random); }));
  CHECK(throws_with("graph: input is 3, hidden 4; with residual they must be equal",
                    [&] { nn::GraphLstm({.input = 3, .hidden = 4, .residual = true}, random); }));
  CHECK(throws_with("graph: the layers were made by the default constructor", [&] {
    nn::GraphLstm()(values({2, kI}, 1), Schedule::graph(2, {}));
  }));
  CHECK(throws_with("child_sum_lstm: input is 0, hidden 4; expected 1 or more",
                    [&] { nn::ChildSumTreeLstm({.input = 0, .hidden = 4}, random); }));
  CHECK(throws_with("nary_lstm: arity is 0, expected 1 to 16 children",
                    [&] { nn::NaryTreeLstm({.input = 1, .hidden = 1, .arity = 0}, random); }));
  CHECK(throws_with("graph_lstm: input is 1, hidden 0",
                    [&] { nn::GraphLstm({.input = 1, .hidden = 0}, random); }));
}

TEST_CASE("a step by operations that reads what the schedule lacks is an error") {
  Random random(12);
  const GraphByStep cell(graph_options(), random);
  const Index children = {-1, -1, 0, -1};
  CHECK(throws_with(
      "step: the cell's step() reads predecessor 0, but a node of this schedule has 0", [&] {
        nn::detail::run_structure("tree", cell, values({2, kI}, 1),
                                  Schedule::trees_by_parent(Index{-1, 0}));
      }));
  CHECK(throws_with("step: the cell's step() reads edges, but this schedule has none", [&] {
    nn::detail::run_structure("tree", cell, values({2, kI}, 1),
                              Schedule::trees_by_children(children, 2));
  }));
}

TEST_CASE("trees and graphs of 100000 nodes in a chain or a star take linear time") {
  constexpr std::int64_t kMany = 100000;
  Random random(13);
  const nn::TreeLstmOptions options{.input = 1, .hidden = 2, .arity = 1};
  const nn::ChildSumTreeLstm sum(options, random);
  const nn::NaryTreeLstm nary(options, random);
  const nn::GraphLstm graph({.input = 1, .hidden = 2}, random);
  Index chain_parents, chain_children, star_parents;
  std::vector<std::array<std::int64_t, 2>> chain, star;
  for (std::int64_t v = 0; v < kMany; ++v) {
    chain_parents.push_back(v + 1 < kMany ? v + 1 : -1);
    chain_children.push_back(v - 1);
    star_parents.push_back(v + 1 < kMany ? kMany - 1 : -1);
    if (v > 0) chain.push_back({v - 1, v});
    if (v > 0) star.push_back({0, v});
  }
  const Var x(random_tensor({kMany, 1}, 22, DType::float32));
  const ParameterList all = nn::parameters(sum, nary, graph);
  const auto train = [&](const auto& run) {
    Tape tape;
    const Var loss = mean(square(run()));
    tape.backward(loss);
    CHECK(std::isfinite(loss.item()));
    for (const NamedVar& p : all) p.var.zero_grad();
  };
  train([&] { return sum(x, Schedule::trees_by_parent(chain_parents)).h(); });
  train([&] { return sum(x, Schedule::trees_by_parent(star_parents)).h(); });
  train([&] { return nary(x, Schedule::trees_by_children(chain_children, 1)).h(); });
  train([&] { return graph(x, Schedule::graph(kMany, chain)).y; });
  train([&] { return graph(x, Schedule::graph(kMany, star)).y; });
  train([&] { return graph(x, Schedule::graph(kMany, {})).y; });
}

TEST_CASE("a training step of trees and graphs allocates nothing if its schedule is reused") {
  if (!can_count_allocations()) return;
  Random random(12);
  const nn::ChildSumTreeLstm sum({.input = kI, .hidden = 8}, random);
  const nn::NaryTreeLstm nary({.input = kI, .hidden = 8}, random);
  const nn::GraphLstm graph({.input = kI, .hidden = 8, .layers = 2}, random);
  const Schedule trees = Schedule::trees_by_parent(random_parents(20, 19));
  const Schedule ordered = Schedule::trees_by_children(Index{-1, -1, -1, -1, 0, 1}, 2);
  const Schedule of_graph = RandomGraph(20, 20).schedule();
  const Var x(random_tensor({20, kI}, 21, DType::float32));
  const Var few(random_tensor({3, kI}, 21, DType::float32));
  const ParameterList all = nn::parameters(sum, nary, graph);
  const auto train = [&] {
    Tape tape;
    const Var y = graph(x, of_graph).y + sum(x, trees).h();
    tape.backward(tapeloop::sum(square(y)) + tapeloop::sum(nary(few, ordered).h()));
    for (const NamedVar& p : all) p.var.zero_grad();
  };
  for (int i = 0; i < 3; ++i) train();
  const std::int64_t calls = allocations(), blocks = memory::stats().heap_calls;
  train();
  CHECK(allocations() == calls);
  CHECK(memory::stats().heap_calls == blocks);
}

}  // namespace tapeloop::test
