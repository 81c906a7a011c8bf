// SPDX-License-Identifier: MIT
// recurrent() with every kind of step on every kind of order, against the same steps node by node
// on the tape: values, first and second gradients, types, threads; and gradcheck.
#include <random>

#include "tapeloop/nn/nn.h"
#include "tests/sequence/step_formulas.h"
#include "tests/support.h"

namespace tapeloop::test {
namespace {

// What a step is made of: H hidden units, the weights and parameters that it draws.
struct Draw {
  std::int64_t hidden;
  DType dtype;
  std::uint64_t seed = 100;
  std::vector<Var>& made;
  Var operator()(const Shape& shape) {
    made.push_back(parameter(random_tensor(shape, seed++, dtype, -0.7, 0.7)));
    return made.back();
  }
};

struct StepKind {
  const char* name;
  int input_gates;  // columns of the input, in H
  int predecessors;
  std::vector<int> sizes;  // of the parts of the state: 0: H; k: k; -k: k H
  Recurrence (*make)(Draw& draw, std::int64_t nodes);
};

const StepKind kSteps[] = {
    {"peepholes",
     4,
     1,
     {0, 0},
     [](Draw& d, std::int64_t) {
       return Recurrence(Peepholes{}, of::input() + of::product(d({4 * d.hidden, d.hidden})),
                         of::state(1), of::unit(d({3 * d.hidden})));
     }},
    {"diagonal, no product",
     1,
     1,
     {0},
     [](Draw& d, std::int64_t) {
       return Recurrence(Diagonal{}, of::input(), of::unit(d({d.hidden})), of::state(0));
     }},
    {"no input",
     0,
     1,
     {0, 0},
     [](Draw& d, std::int64_t) {
       return Recurrence(nn::LstmGates{},
                         of::product(d({4 * d.hidden, d.hidden}), of::state(0), d({4 * d.hidden})),
                         of::state(1));
     }},
    {"two stages: reset before the product",
     3,
     1,
     {0},
     [](Draw& d, std::int64_t) {
       const std::int64_t h = d.hidden;
       Recurrence r;
       const auto rz = r.value(of::input(0, 2 * h) + of::product(d({2 * h, h})));
       const auto s = r.stage(nn::GruResetState{}, rz.columns(0, h), of::state(0));
       const auto n = of::input(2 * h, h) + of::product(d({h, h}), s[0]);
       r.next(r.stage(nn::GruUpdate{}, rz.columns(h, h), n, of::state(0)));
       return r;
     }},
    {"a product is the state",
     4,
     1,
     {3, 0},
     [](Draw& d, std::int64_t) {
       Recurrence r;
       const auto m =
           r.stage(nn::LstmGates{}, of::input() + of::product(d({4 * d.hidden, 3})), of::state(1));
       r.next({of::product(d({3, d.hidden}), m[0]), m[1]});
       return r;
     }},
    {"full peepholes: products of c, old and new",
     4,
     1,
     {0, 0},
     [](Draw& d, std::int64_t) {
       const std::int64_t h = d.hidden;
       Recurrence r;
       const auto z = r.value(of::input(0, 3 * h) + of::product(d({3 * h, h})) +
                              of::product(d({3 * h, h}), of::state(1)));
       const auto c = r.stage(CellAndOutput{}, z, of::state(1));
       const auto o = of::input(3 * h, h) + of::product(d({h, h})) + of::product(d({h, h}), c[0]);
       const auto m = r.stage(Output{}, o, c[0]);
       r.next({m[0], c[0]});
       return r;
     }},
    {"layer norm of the product and of c",
     4,
     1,
     {0, 0},
     [](Draw& d, std::int64_t) {
       const std::int64_t h = d.hidden;
       Recurrence r;
       const auto z = r.value(of::input() +
                              of::layer_norm(of::product(d({4 * h, h})), d({4 * h}), d({4 * h})));
       const auto c = r.stage(CellAndOutput{}, z.columns(0, 3 * h), of::state(1));
       const auto m = r.stage(Output{}, z.columns(3 * h, h), of::layer_norm(c[0], d({h}), Var()));
       r.next({m[0], c[0]});
       return r;
     }},
    {"layer norm of each gate",
     4,
     1,
     {0, 0},
     [](Draw& d, std::int64_t) {
       const std::int64_t h = d.hidden;
       const auto sum = of::input() + of::product(d({4 * h, h}));
       return Recurrence(nn::LstmGates{}, of::layer_norm(sum, d({4 * h}), d({4 * h}), 4, 1e-3),
                         of::state(1));
     }},
    {"a mask",
     1,
     1,
     {0},
     [](Draw& d, std::int64_t nodes) {
       const Tensor keep = random_tensor({nodes, d.hidden}, 77, d.dtype, 0, 1);
       return Recurrence(Kept{}, of::input() + of::product(d({d.hidden, d.hidden})),
                         of::extra(keep), of::state(0));
     }},
    {"the state twice, and one parameter for two arguments",
     1,
     1,
     {0},
     [](Draw& d, std::int64_t) {
       const Var u = d({d.hidden});
       Recurrence r;
       const auto a = r.stage(Diagonal{}, of::input(), of::unit(u), of::state(0));
       r.next(r.stage(Diagonal{}, a[0], of::unit(u), of::state(0)));
       return r;
     }},
    {"a part of the state that nothing reads",
     1,
     1,
     {0, 0},
     [](Draw& d, std::int64_t) {
       Recurrence r;
       const auto c = r.stage(Diagonal{}, of::input(), of::unit(d({d.hidden})), of::state(1));
       const auto h = r.stage(Output{}, c[0], c[0]);
       r.next({h[0], c[0]});
       return r;
     }},
    {"formulas of two widths read one product",
     3,
     1,
     {0},
     [](Draw& d, std::int64_t) {
       const std::int64_t h = d.hidden;
       Recurrence r;
       const auto z = r.value(of::input() + of::product(d({3 * h, h})));
       const auto wide = r.stage(nn::ElmanTanh{}, z.columns(0, 2 * h));
       r.next(r.stage(Kept{}, wide[0], z.columns(2 * h, h)));
       return r;
     }},
    {"a state of two widths, read in halves",
     1,
     1,
     {-2},
     [](Draw& d, std::int64_t) {
       const std::int64_t h = d.hidden;
       Recurrence r;
       const auto a = r.stage(Output{}, of::state(0));
       const auto z = of::product(d({2 * h, h}), a[0]) +
                      of::product(d({2 * h, h}), of::state(0).columns(0, h)) +
                      of::product(d({2 * h, h}), of::input());
       r.next({z});
       return r;
     }},
    {"two predecessors",
     5,
     2,
     {0, 0},
     [](Draw& d, std::int64_t) {
       const std::int64_t h = d.hidden;
       return Recurrence(TwoPaths{},
                         of::input() + of::product(d({5 * h, h}), of::state(0, 0)) +
                             of::product(d({5 * h, h}), of::state(0, 1)),
                         of::state(1, 0), of::state(1, 1));
     }},
};

struct Order {
  const char* name;
  int slots;
  Schedule schedule;
};

std::vector<Order> orders() {
  const std::vector<std::int64_t> lengths = {2, 0, 4, 4, 1};
  std::vector<std::uint8_t> resets(4 * 5, 0);
  resets[5] = resets[7] = resets[11] = resets[19] = 1;
  const std::vector<std::int64_t> samples = {3, 2, 1, 4};
  const std::vector<std::int64_t> children = {1,  2,  3,  4,  -1,    5,  -1, -1,
                                              -1, -1, -1, -1, 5 + 2, -1, -1, -1};
  return {
      {"a chain", 1, Schedule::sequences(4, 3)},
      {"a chain, reverse", 1, Schedule::sequences(4, 3, {.reverse = true})},
      {"lengths", 1, Schedule::sequences(4, 5, {.lengths = lengths})},
      {"lengths, reverse", 1, Schedule::sequences(4, 5, {.reverse = true, .lengths = lengths})},
      {"resets", 1, Schedule::sequences(4, 5, {.resets = resets})},
      {"resets and lengths, reverse", 1,
       Schedule::sequences(4, 5, {.reverse = true, .lengths = lengths, .resets = resets})},
      {"a grid", 2, Schedule::grid({3, 4}, 2)},
      {"a grid from another corner", 2, Schedule::grid({4, 2}, 1, {.directions = 2})},
      {"grids of several sizes", 2, Schedule::grid({3, 4}, 2, {.sample_sizes = samples})},
      {"trees", 2, Schedule::trees_by_children(children, 2)},
  };
}

// The step, one node after the other, each with rows of its own.
RecurrentResult one_by_one(const Recurrence& r, const Var& zx, std::span<const Var> initial,
                           std::span<const std::int64_t> sizes, const Schedule& schedule) {
  Recurrence sized = r;
  sized.resolve(zx.defined() ? zx.dim(1) : 0, sizes);
  const StepLayout& layout = sized.layout();
  std::vector<PoolVector<Var>> states(static_cast<std::size_t>(schedule.state_rows()));
  const auto rows = schedule.external_rows(), from = schedule.external_from();
  const DType dtype = initial[0].dtype();
  for (std::int64_t i = 0; i < rows.size(); ++i) {
    auto& state = states[static_cast<std::size_t>(rows[i])];
    for (std::size_t k = 0; k < initial.size(); ++k) {
      state.push_back(from[i] < 0 ? Var(Tensor::zeros({1, sizes[k]}, dtype))
                                  : slice(initial[k], 0, from[i], from[i] + 1));
    }
  }
  std::vector<PoolVector<Var>> nodes(static_cast<std::size_t>(schedule.nodes()));
  for (std::int64_t l = 0; l < schedule.levels(); ++l) {
    const Schedule::Level level = schedule.level(l);
    for (std::int64_t i = 0; i < level.count; ++i) {
      PoolVector<Var> before(layout.values.size());
      for (std::size_t v = 0; v < before.size(); ++v) {
        const StepLayout::Value& value = layout.values[v];
        if (value.from != StepLayout::From::state) continue;
        const std::int64_t row = schedule.slot(l, value.predecessor)[i];
        before[v] = states[static_cast<std::size_t>(row)][static_cast<std::size_t>(value.index)];
      }
      const std::int64_t node = level.first + i;
      PoolVector<Tensor> extras;
      for (const Tensor& x : r.extras()) extras.push_back(x.slice(0, node, node + 1));
      const Var input = zx.defined() ? slice(zx, 0, node, node + 1) : Var();
      nodes[static_cast<std::size_t>(node)] = states[static_cast<std::size_t>(level.state + i)] =
          detail::step_by_operations(layout, r, input, before, extras);
    }
  }
  RecurrentResult result;
  for (std::size_t k = 0; k < initial.size(); ++k) {
    PoolVector<Var> parts;
    for (const auto& node : nodes) parts.push_back(node[k]);
    result.states.push_back(concat(parts, 0));
    const auto finals = schedule.finals();
    parts.clear();
    for (std::int64_t i = 0; i < finals.size(); ++i)
      parts.push_back(states[static_cast<std::size_t>(finals[i])][k]);
    if (!parts.empty()) result.last.push_back(concat(parts, 0));
  }
  result.hs = result.states[0];
  return result;
}

struct Task {
  const StepKind& step;
  const Order& order;
  std::int64_t hidden;
  DType dtype;
  std::vector<Var> parameters{};
  Recurrence recurrence{};
  Var x{};
  std::vector<Var> initial{};
  std::vector<std::int64_t> sizes{};

  Task(const StepKind& s, const Order& o, std::int64_t h, DType type)
      : step(s), order(o), hidden(h), dtype(type) {
    Draw draw{h, type, 100, parameters};
    const std::int64_t nodes = o.schedule.nodes();
    recurrence = s.make(draw, nodes);
    if (s.input_gates > 0) x = draw({nodes, s.input_gates * h});
    for (const int size : s.sizes) {
      sizes.push_back(size > 0 ? size : size == 0 ? h : -size * h);
      initial.push_back(draw({o.schedule.initial_rows(), sizes.back()}));
    }
  }

  RecurrentResult run(bool fused, bool moved) const {
    Var zx = x.defined() && moved ? x * 1.25 : x;
    if (!fused) return one_by_one(recurrence, zx, initial, sizes, order.schedule);
    if (moved)
      return recurrent(recurrence, std::move(zx), initial, sizes, order.schedule,
                       {.all_parts = true});
    return recurrent(recurrence, zx, initial, sizes, order.schedule, {.all_parts = true});
  }
  // The results, and the gradients of a loss of them.
  std::vector<Tensor> outcome(bool fused, bool moved, int derivative) const {
    Tape tape;
    const RecurrentResult result = run(fused, moved);
    std::vector<Tensor> values;
    Var loss;
    std::uint64_t seed = 500;
    const auto add = [&](const Var& y) {
      values.push_back(y.value().clone());
      const Var term = sum(y * Var(random_tensor(y.shape(), seed++, dtype)));
      loss = loss.defined() ? loss + term : term;
    };
    for (const Var& y : result.states) add(y);
    for (const Var& y : result.last) add(y);
    if (derivative == 2) {
      const std::vector<Var> first = tape.gradient(loss, parameters, {.create_graph = true});
      loss = Var();
      for (const Var& gradient : first) add(gradient);
    }
    for (const Var& gradient : tape.gradient(loss, parameters))
      values.push_back(gradient.value().clone());
    return values;
  }
};

double worst(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  double result = a.size() == b.size() ? 0 : INFINITY;
  for (std::size_t i = 0; i < a.size() && i < b.size(); ++i) {
    double largest = 1;
    for (const double y : b[i].to_vector<double>()) largest = std::max(largest, std::abs(y));
    result = std::max(result, distance(a[i], b[i]) / largest);
  }
  return result;
}

bool fits(const StepKind& step, const Order& order) { return step.predecessors <= order.slots; }

}  // namespace

TEST_CASE("every step on every order gives what its nodes give one by one") {
  const std::vector<Order> all = orders();
  for (const StepKind& step : kSteps) {
    for (const Order& order : all) {
      if (!fits(step, order)) continue;
      CAPTURE(std::string(step.name));
      CAPTURE(std::string(order.name));
      for (const std::int64_t hidden : {1, 5, 17}) {
        CAPTURE(hidden);
        const bool moved = hidden != 5;
        const Task exact(step, order, hidden, DType::float64);
        CHECK(worst(exact.outcome(true, moved, 1), exact.outcome(false, moved, 1)) <= 1e-12);
        const Task single(step, order, hidden, DType::float32);
        CHECK(worst(single.outcome(true, moved, 1), single.outcome(false, moved, 1)) <= 2e-5);
      }
      const Task small(step, order, 3, DType::float64);
      CHECK(worst(small.outcome(true, true, 2), small.outcome(false, true, 2)) <= 1e-11);
    }
  }
}

TEST_CASE("2 and 3 threads give the same bits for every step and order") {
  const std::vector<Order> all = orders();
  for (const StepKind& step : kSteps) {
    for (const Order& order : all) {
      if (!fits(step, order)) continue;
      CAPTURE(std::string(step.name));
      CAPTURE(std::string(order.name));
      const Task task(step, order, 300, DType::float32);  // work for several threads
      const std::vector<Tensor> alone = task.outcome(true, true, 1);
      for (const int threads : {2, 3}) {
        const Threads scope(threads);
        const std::vector<Tensor> together = task.outcome(true, true, 1);
        for (std::size_t i = 0; i < alone.size(); ++i) CHECK(same_bits(together[i], alone[i]));
      }
    }
  }
}

TEST_CASE("gradcheck of every step on a chain and on an order with tables") {
  const std::vector<Order> all = orders();
  for (const StepKind& step : kSteps) {
    for (const std::size_t i : {std::size_t{0}, std::size_t{5}, std::size_t{9}}) {
      if (!fits(step, all[i])) continue;
      CAPTURE(std::string(step.name));
      CAPTURE(std::string(all[i].name));
      const Task task(step, all[i], 2, DType::float64);
      ParameterList list;
      for (const Var& x : task.parameters)
        list.push_back({"parameter " + std::to_string(list.size()), x});
      const GradcheckReport report = gradcheck(
          [&] {
            const RecurrentResult result = task.run(true, true);
            return std::vector<Var>(result.states.begin(), result.states.end());
          },
          list, {.second_order = true});
      INFO(report.str());
      CHECK(report.ok);
    }
  }
}

TEST_CASE("without a tape the results are the same") {
  const std::vector<Order> all = orders();
  for (const StepKind& step : kSteps) {
    for (const Order& order : all) {
      if (!fits(step, order)) continue;
      CAPTURE(std::string(step.name));
      CAPTURE(std::string(order.name));
      const Task task(step, order, 9, DType::float32);
      const std::vector<Tensor> taped = task.outcome(true, true, 1);
      const RecurrentResult bare =
          recurrent(task.recurrence, task.x, task.initial, task.sizes, order.schedule);
      CHECK(worst({bare.hs.value()}, {(Task(task).run(true, false)).hs.value()}) == 0);
      for (std::size_t k = 0; k < bare.last.size(); ++k) {
        CHECK(worst({bare.last[k].value()}, {task.run(false, false).last[k].value()}) <= 2e-5);
      }
    }
  }
}

}  // namespace tapeloop::test
