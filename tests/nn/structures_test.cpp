// SPDX-License-Identifier: MIT
// Tree-LSTM and Graph LSTM: equalities with the LSTM and with themselves, gradients of first and
// second order, a user's own cells, and saving.
#include "tests/nn/structure_cells.h"

namespace tapeloop::test {
namespace {

void copy(const Var& to, const Tensor& from) { to.value().copy_from(from); }

// The outputs of an LSTM with these weights over x as one sequence: h and c of all steps.
Var lstm_over(const Var& weight_ih, const Var& weight_hh, const Var& bias, const Var& x) {
  Random random(1);
  nn::Lstm lstm({.input = kI, .hidden = kH, .dtype = kExact}, random);
  const nn::LstmCell& cell = lstm.cells()[0];
  copy(cell.w.weight_ih, weight_ih.value());
  copy(cell.w.weight_hh, weight_hh.value());
  copy(cell.w.bias_ih, bias.value());
  cell.w.bias_hh.value().fill(0);
  return reshape(lstm(insert_axis(x, 1)).ys, Shape{x.dim(0), kH});
}

// A cell of one's own for trees, as a step of data: h' = tanh(x + mean of W h over the children).
struct OwnGate {
  static constexpr const char* name = "own_gate";
  TL_HD auto operator()(auto x, auto near) const { return tanh(x + near); }
};
struct OwnTreeCell {
  using State = nn::State<1>;
  nn::Linear from_x, from_h;
  OwnTreeCell(const nn::TreeLstmOptions& o, Random& random)
      : from_x(o.input, o.hidden, random, true, o.dtype),
        from_h(o.hidden, o.hidden, random, false, o.dtype) {}
  std::array<std::int64_t, 1> state_sizes() const { return {from_h.weight.dim(1)}; }
  Var input(const Var& x) const { return from_x(x); }
  Recurrence recurrence() const {
    const auto near = of::product(from_h.weight, of::mean_of_edges(of::edge_state(0)));
    return {OwnGate{}, of::input(), near};
  }
  void visit(nn::Visitor& v) const { v("from_x", from_x), v("from_h", from_h); }
};
// The same by operations.
struct OwnTreeCellByStep {
  using State = nn::State<1>;
  nn::Linear from_x, from_h;
  OwnTreeCellByStep(const nn::TreeLstmOptions& o, Random& random)
      : from_x(o.input, o.hidden, random, true, o.dtype),
        from_h(o.hidden, o.hidden, random, false, o.dtype) {}
  std::array<std::int64_t, 1> state_sizes() const { return {from_h.weight.dim(1)}; }
  State step(const Var& x, std::span<const State>, const nn::Edges<State>& children) const {
    return State(tanh(from_x(x) + from_h(children.mean(children[0].h()))));
  }
  void visit(nn::Visitor& v) const { v("from_x", from_x), v("from_h", from_h); }
};
// What a child sends grows without a bound.
struct ExplodingEdge {
  static constexpr const char* name = "exploding_edge";
  static constexpr const char* arguments = "u h";
  static constexpr const char* results = "sent";
  TL_HD auto operator()(auto u, auto h) const { return exp(u * h) * h; }
};
struct PlainSum {
  static constexpr const char* name = "plain_sum";
  TL_HD auto operator()(auto x, auto near) const { return x + near; }
};
struct ExplodingCell {
  using State = nn::State<1>;
  nn::Linear from_x;
  ExplodingCell(const nn::TreeLstmOptions& o, Random& random)
      : from_x(o.input, o.hidden, random, true, o.dtype) {}
  std::array<std::int64_t, 1> state_sizes() const { return {from_x.weight.dim(0)}; }
  Var input(const Var& x) const { return from_x(x); }
  Recurrence recurrence() const {
    Recurrence r;
    const auto sent = r.stage(ExplodingEdge{}, of::input(), of::edge_state(0));
    r.next(r.stage(PlainSum{}, of::input(), of::sum_of_edges(sent[0])));
    return r;
  }
  void visit(nn::Visitor& v) const { v("from_x", from_x); }
};

}  // namespace

TEST_CASE("a Tree-LSTM on a chain is an LSTM from the leaf to the root") {
  Random random(2);
  const nn::ChildSumTreeLstm sum(tree_options(), random);
  const nn::NaryTreeLstm nary(tree_options(1), random);
  const Var x = values({6, kI}, 1);
  const Index parents = {1, 2, 3, 4, 5, -1}, children = {-1, 0, 1, 2, 3, 4};
  const auto& a = sum.cell();
  CHECK(distance(sum(x, Schedule::trees_by_parent(parents)).h().value(),
                 lstm_over(a.weight_ih, a.weight_hh, a.bias_ih, x).value()) <= 1e-13);
  const auto& b = nary.cell();
  CHECK(distance(nary(x, Schedule::trees_by_children(children, 1)).h().value(),
                 lstm_over(b.weight_ih, b.weight_hh, b.bias_ih, x).value()) <= 1e-13);
}

TEST_CASE("a Graph LSTM on a chain is an LSTM with the weights of the neighbours") {
  Random random(3);
  nn::GraphLstmOptions options = graph_options();
  options.forget_reads = nn::ForgetReads::current;
  options.output = nn::GraphOutput::o_tanh_m;
  const nn::GraphLstm graph(options, random);
  const auto& cell = graph.cells()[0];
  const Index begins = {0, 0, 1, 2, 3, 4}, neighbours = {0, 1, 2, 3};
  const Var x = values({5, kI}, 2);
  CHECK(distance(graph(x, Schedule::graph({begins, neighbours})).y.value(),
                 lstm_over(cell.weight_ih, cell.weight_nh, cell.bias_ih, x).value()) <= 1e-13);
  // Without edges each node is a step of an LSTM from its own state.
  const Var h = values({5, kH}, 3), m = values({5, kH}, 4);
  const auto run = graph(x, Schedule::graph({Index(6, 0), {}}), GraphState(h, m));
  const Var z = linear(h, cell.weight_hh, linear(x, cell.weight_ih, cell.bias_ih));
  const auto [expected_h, expected_m] = pointwise(nn::LstmGates{}, columns<4>(z), m);
  CHECK(distance(run.y.value(), expected_h.value()) <= 1e-13);
  CHECK(distance(run.last[1].value(), expected_m.value()) <= 1e-13);
}

TEST_CASE("structures together give what each gives alone") {
  Random random(4);
  const nn::ChildSumTreeLstm tree(tree_options(), random);
  const nn::GraphLstm graph(graph_options(), random);
  const Schedule trees[] = {Schedule::trees_by_parent(random_parents(7, 1)),
                            Schedule::trees_by_parent(random_parents(5, 2))};
  const Schedule graphs[] = {RandomGraph(7, 3).schedule(), RandomGraph(5, 4).schedule()};
  const Var x = values({12, kI}, 5);
  const Var parts[] = {slice(x, 0, 0, 7), slice(x, 0, 7, 12)};
  const Var h = values({12, kH}, 6), m = values({12, kH}, 7);
  const auto state = [&](std::int64_t from, std::int64_t to) {
    return GraphState(slice(h, 0, from, to), slice(m, 0, from, to));
  };
  const Var alone[] = {concat({tree(parts[0], trees[0]).h(), tree(parts[1], trees[1]).h()}, 0),
                       concat({graph(parts[0], graphs[0], state(0, 7)).y,
                               graph(parts[1], graphs[1], state(7, 12)).y},
                              0)};
  CHECK(distance(tree(x, Schedule::join(trees)).h().value(), alone[0].value()) <= 1e-14);
  CHECK(distance(graph(x, Schedule::join(graphs), state(0, 12)).y.value(), alone[1].value()) <=
        1e-14);
}

TEST_CASE("renumbering the nodes renumbers the results, and children have no order") {
  Random random(5);
  const nn::ChildSumTreeLstm tree(tree_options(), random);
  const Index parents = random_parents(9, 6);
  const Index to = {4, 8, 0, 6, 2, 1, 7, 3, 5};  // the new number of each node
  Index renamed(9), from(9);
  for (std::size_t v = 0; v < 9; ++v) {
    const auto w = static_cast<std::size_t>(to[v]);
    renamed[w] = parents[v] < 0 ? -1 : to[static_cast<std::size_t>(parents[v])];
    from[w] = static_cast<std::int64_t>(v);
  }
  const Var x = values({9, kI}, 8);
  const Tensor index = Tensor::from({9}, from);
  const Var moved = tree(take(x, index, 0), Schedule::trees_by_parent(renamed)).h();
  CHECK(distance(moved.value(),
                 take(tree(x, Schedule::trees_by_parent(parents)).h(), index, 0).value()) <= 1e-14);
}

TEST_CASE("a Graph LSTM with every option is what its formulas say") {
  for (const bool adaptive : {true, false}) {
    for (const auto reads : {nn::ForgetReads::previous, nn::ForgetReads::current}) {
      if (!adaptive && reads == nn::ForgetReads::current) continue;  // refused
      for (const auto output : {nn::GraphOutput::tanh_om, nn::GraphOutput::o_tanh_m}) {
        nn::GraphLstmOptions options = graph_options();
        options.input = kH;
        options.layers = 2;
        options.residual = true;
        options.adaptive = adaptive;
        options.forget_reads = reads;
        options.output = output;
        Random random(6), again(6);
        const nn::GraphLstm fused(options, random);
        const nn::Graph<GraphByStep> by_step(options, again);
        const Schedule schedule = RandomGraph(8, 9).schedule();
        const Var x = values({8, kH}, 10), h = values({8, kH}, 11), m = values({8, kH}, 12);
        const auto a = fused(x, schedule, GraphState(h, m));
        const auto b = by_step(x, schedule, nn::State<2>(h, m));
        CHECK(distance(a.y.value(), b.y.value()) <= 1e-13);
        CHECK(distance(a.last[1].value(), b.last[1].value()) <= 1e-13);
        CHECK(distance(a.h[0].value(), b.h[0].value()) <= 1e-13);
      }
    }
  }
}

TEST_CASE("gradients of trees and graphs of the first and second order are right") {
  const Var x = parameter(random_tensor({6, 2}, 13, kExact));
  const auto check = [&](const auto& model, const auto& run) {
    ParameterList list = nn::parameters(model);
    list.push_back({"x", x});
    const GradcheckReport report = gradcheck(run, list, {.second_order = true});
    INFO(report.str());
    CHECK(report.ok);
  };
  Random random(7);
  const nn::TreeLstmOptions options{.input = 2, .hidden = 2, .dtype = kExact};
  const Schedule trees = Schedule::trees_by_parent(Index{3, 3, 3, 5, 5, -1});
  const Index children = {-1, -1, 0, -1, -1, -1, 1, 2, -1, 3, -1, 4};
  const nn::ChildSumTreeLstm sum(options, random);
  check(sum, [&] { return sum(x, trees).h(); });
  const nn::NaryTreeLstm nary(options, random);
  check(nary, [&] { return nary(x, Schedule::trees_by_children(children, 2)).h(); });
  check(nary, [&] { return nary(x, Schedule::trees_by_children(Index(12, -1), 2)).h(); });
  const nn::Tree<OwnTreeCell> own(options, random);
  check(own, [&] { return own(x, trees).h(); });
  const nn::Tree<OwnTreeCellByStep> by_step(options, random);
  check(by_step, [&] { return by_step(x, trees).h(); });
  for (const bool adaptive : {true, false}) {
    const nn::GraphLstm graph({.input = 2,
                               .hidden = 2,
                               .layers = 2,
                               .residual = true,
                               .adaptive = adaptive,
                               .dtype = kExact},
                              random);
    const Schedule schedule = RandomGraph(6, 14).schedule();
    check(graph, [&] { return graph(x, schedule).y; });
  }
}

TEST_CASE("a user's own cell gives the same as data and as operations") {
  Random random(8), again(8);
  const nn::Tree<OwnTreeCell> fused(tree_options(), random);
  const nn::Tree<OwnTreeCellByStep> by_step(tree_options(), again);
  const Var x = values({20, kI}, 15);
  const Schedule trees = Schedule::trees_by_parent(random_parents(20, 16));
  CHECK(distance(fused(x, trees).h().value(), by_step(x, trees).h().value()) <= 1e-14);
  const nn::NaryTreeLstm nary(tree_options(), random);
  CHECK(nary(x, Schedule::trees_by_children(Index(40, -1), 2)).h().shape() == Shape{20, kH});
  const Var none(Tensor::zeros({0, kI}, kExact));
  CHECK(fused(none, Schedule::trees_by_parent({})).h().shape() == Shape{0, kH});
  CHECK(by_step(none, Schedule::trees_by_parent({})).h().shape() == Shape{0, kH});
}

TEST_CASE("the first value that is not finite is found in a formula of edges") {
  Random random(14);
  const nn::Tree<ExplodingCell> tree(tree_options(), random);
  tree.cell().from_x.weight.value().fill(1);
  tree.cell().from_x.bias.value().fill(0);
  const Var x = values({4, kI}, 1);
  x.value().fill(0);
  x.value().slice(0, 1, 2).fill(1);
  x.value().slice(0, 2, 3).fill(10);  // h = 30, and node 1 gets exp(3 * 30) * 30
  const Index parents = {1, 3, 1, -1};
  const NonFinitePlace none = nn::find_non_finite(
      tree, [&] { return sum(tree(x, Schedule::trees_by_parent(parents)).h()); });
  CHECK_FALSE(none);
  x.value().slice(0, 1, 2).fill(10);  // exp(900) is infinite
  const NonFinitePlace found = nn::find_non_finite(
      tree, [&] { return sum(tree(x, Schedule::trees_by_parent(parents)).h()); });
  REQUIRE(found);
  CHECK(found.operation == "recurrent");
  CHECK(found.scope == "tree");
  CHECK(found.step == 1);  // the level
  CHECK(found.gate == "exp(u * h)");
}

TEST_CASE("trees and graphs are saved and loaded by the names of their weights") {
  Random random(9), other(10);
  const nn::GraphLstmOptions options{.input = kH, .hidden = kH, .layers = 2, .dtype = kExact};
  const nn::GraphLstm graph(options, random), second(options, other);
  nn::load_state_dict(second, nn::state_dict(graph));
  const Schedule schedule = RandomGraph(6, 17).schedule();
  const Var x = values({6, kH}, 18);
  CHECK(same_bits(graph(x, schedule).y.value(), second(x, schedule).y.value()));
  std::string names;
  for (const NamedVar& p : nn::parameters(graph)) names += p.name + " ";
  CHECK(names ==
        "weight_ih_l0 weight_hh_l0 weight_nh_l0 bias_ih_l0 "
        "weight_ih_l1 weight_hh_l1 weight_nh_l1 bias_ih_l1 ");
  names.clear();
  for (const NamedVar& p : nn::parameters(nn::NaryTreeLstm(tree_options(), random)))
    names += p.name + " ";
  CHECK(names == "weight_ih weight_hh bias_ih ");
}

}  // namespace tapeloop::test
