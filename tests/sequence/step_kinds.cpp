// SPDX-License-Identifier: MIT
// The kinds of steps that tests run on every order.
#include "tests/sequence/step_kinds.h"

#include "tests/sequence/step_formulas.h"

namespace tapeloop::test {

Var StepWeights::operator()(const Shape& shape) {
  made.push_back(parameter(random_tensor(shape, seed++, dtype, -0.7, 0.7).to(device)));
  return made.back();
}

const std::vector<StepKind>& step_kinds() {
  static const std::vector<StepKind> all = {
      {"peepholes",
       4,
       1,
       0,
       {0, 0},
       [](StepWeights& d, std::int64_t) {
         return Recurrence(Peepholes{}, of::input() + of::product(d({4 * d.hidden, d.hidden})),
                           of::state(1), of::unit(d({3 * d.hidden})));
       }},
      {"diagonal, no product",
       1,
       1,
       0,
       {0},
       [](StepWeights& d, std::int64_t) {
         return Recurrence(Diagonal{}, of::input(), of::unit(d({d.hidden})), of::state(0));
       }},
      {"products in groups",
       4,
       1,
       0,
       {-2, 0},
       [](StepWeights& d, std::int64_t) {
         const std::int64_t h = d.hidden;
         Recurrence r;
         const auto z = r.value(of::input() + of::product(d({4 * h, h}), of::state(1)) +
                                of::product(d({4 * h, h}), of::state(0), d({4 * h}), 2));
         const auto c = r.stage(CellAndOutput{}, z.columns(0, 3 * h), of::state(1));
         const auto m = r.stage(Output{}, z.columns(3 * h, h), c[0]);
         r.next({of::product(d({2 * h, h}), m[0]), c[0]});
         return r;
       }},
      {"a product in groups of one unit",
       1,
       1,
       0,
       {0},
       [](StepWeights& d, std::int64_t) {
         const auto groups = static_cast<int>(d.hidden);
         return Recurrence(nn::ElmanTanh{}, of::input() + of::product(d({d.hidden, 1}),
                                                                      of::state(0), Var(), groups));
       }},
      {"no input",
       0,
       1,
       0,
       {0, 0},
       [](StepWeights& d, std::int64_t) {
         return Recurrence(
             nn::LstmGates{},
             of::product(d({4 * d.hidden, d.hidden}), of::state(0), d({4 * d.hidden})),
             of::state(1));
       }},
      {"two stages: reset before the product",
       3,
       1,
       0,
       {0},
       [](StepWeights& d, std::int64_t) {
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
       0,
       {3, 0},
       [](StepWeights& d, std::int64_t) {
         Recurrence r;
         const auto m = r.stage(nn::LstmGates{}, of::input() + of::product(d({4 * d.hidden, 3})),
                                of::state(1));
         r.next({of::product(d({3, d.hidden}), m[0]), m[1]});
         return r;
       }},
      {"full peepholes: products of c, old and new",
       4,
       1,
       0,
       {0, 0},
       [](StepWeights& d, std::int64_t) {
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
       0,
       {0, 0},
       [](StepWeights& d, std::int64_t) {
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
       0,
       {0, 0},
       [](StepWeights& d, std::int64_t) {
         const std::int64_t h = d.hidden;
         const auto sum = of::input() + of::product(d({4 * h, h}));
         return Recurrence(nn::LstmGates{}, of::layer_norm(sum, d({4 * h}), d({4 * h}), 4, 1e-3),
                           of::state(1));
       }},
      {"a mask",
       1,
       1,
       0,
       {0},
       [](StepWeights& d, std::int64_t nodes) {
         const Tensor keep = random_tensor({nodes, d.hidden}, 77, d.dtype, 0, 1).to(d.device);
         return Recurrence(Kept{}, of::input() + of::product(d({d.hidden, d.hidden})),
                           of::extra(keep), of::state(0));
       }},
      {"the state twice, and one parameter for two arguments",
       1,
       1,
       0,
       {0},
       [](StepWeights& d, std::int64_t) {
         const Var u = d({d.hidden});
         Recurrence r;
         const auto a = r.stage(Diagonal{}, of::input(), of::unit(u), of::state(0));
         r.next(r.stage(Diagonal{}, a[0], of::unit(u), of::state(0)));
         return r;
       }},
      {"a part of the state that nothing reads",
       1,
       1,
       0,
       {0, 0},
       [](StepWeights& d, std::int64_t) {
         Recurrence r;
         const auto c = r.stage(Diagonal{}, of::input(), of::unit(d({d.hidden})), of::state(1));
         const auto h = r.stage(Output{}, c[0], c[0]);
         r.next({h[0], c[0]});
         return r;
       }},
      {"formulas of two widths read one product",
       3,
       1,
       0,
       {0},
       [](StepWeights& d, std::int64_t) {
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
       0,
       {-2},
       [](StepWeights& d, std::int64_t) {
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
       0,
       {0, 0},
       [](StepWeights& d, std::int64_t) {
         const std::int64_t h = d.hidden;
         return Recurrence(TwoPaths{},
                           of::input() + of::product(d({5 * h, h}), of::state(0, 0)) +
                               of::product(d({5 * h, h}), of::state(0, 1)),
                           of::state(1, 0), of::state(1, 1));
       }},
  };
  return all;
}

const std::vector<StepKind>& edge_step_kinds() {
  static const std::vector<StepKind> all = {
      {"child-sum: a product of a sum, and one of each edge",
       4,
       0,
       1,
       {0, 0},
       [](StepWeights& d, std::int64_t) {
         const std::int64_t h = d.hidden;
         Recurrence r;
         const auto z =
             of::input(0, 3 * h) + of::product(d({3 * h, h}), of::sum_of_edges(of::edge_state(0)));
         const auto f = of::input(3 * h, h) + of::product(d({h, h}), of::edge_state(0));
         const auto kept = r.stage(ForgetEdge{}, f, of::edge_state(1));
         r.next(r.stage(SumGates{}, z, of::sum_of_edges(kept[0])));
         return r;
       }},
      {"child-sum: a product is a part of the state, and its columns are summed",
       4,
       0,
       1,
       {0, 0, -4},
       [](StepWeights& d, std::int64_t) {
         const std::int64_t h = d.hidden;
         Recurrence r;
         const auto u = of::edge_state(2);
         const auto z = of::input(0, 3 * h) + of::sum_of_edges(u.columns(0, 3 * h));
         const auto kept = r.stage(ForgetNeighbour{}, of::input(3 * h, h), u.columns(3 * h, h),
                                   of::edge_state(1));
         const auto s = r.stage(SumGates{}, z, of::sum_of_edges(kept[0]));
         r.next({s[0], s[1], of::product(d({4 * h, h}), s[0])});
         return r;
       }},
      {"means, a slot and two tables",
       5,
       1,
       2,
       {0, 0},
       [](StepWeights& d, std::int64_t) {
         const std::int64_t h = d.hidden;
         Recurrence r;
         const auto near = r.value(of::mean_of_edges(of::edge_state(0, 0)));
         const auto z = of::input(0, 3 * h) + of::product(d({3 * h, h}), near) +
                        of::product(d({3 * h, h}), of::state(0));
         const auto f = of::input(3 * h, h) + of::product(d({h, h}), of::edge_state(0, 1), d({h}));
         const auto kept = r.stage(ForgetEdge{}, f, of::edge_state(1, 0));
         const auto own = r.stage(ForgetEdge{}, of::input(4 * h, h), of::state(1));
         const auto c = r.stage(Diagonal{}, of::mean_of_edges(kept[0]), of::unit(d({h})), own[0]);
         r.next(r.stage(SumGates{}, z, c[0]));
         return r;
       }},
      {"products of nodes and of edges in one sum, a layer norm of edges, a mask, parameters",
       2,
       0,
       1,
       {0},
       [](StepWeights& d, std::int64_t nodes) {
         const std::int64_t h = d.hidden;
         const Tensor keep = random_tensor({nodes, h}, 77, d.dtype, 0, 1).to(d.device);
         Recurrence r;
         const auto sum = of::input(0, h) + of::product(d({h, h}), of::edge_state(0), d({h})) +
                          of::product(d({h, h}), of::input(h, h));
         const auto y = of::layer_norm(sum, d({h}), d({h}), 1, 1e-3);
         const auto e = r.stage(Kept{}, y, of::extra(keep), of::edge_state(0));
         const auto u = r.stage(Diagonal{}, e[0], of::unit(d({h})), of::input(h, h));
         r.next(r.stage(nn::ElmanTanh{}, of::input(0, h) + of::sum_of_edges(u[0]) +
                                             of::mean_of_edges(of::edge_state(0))));
         return r;
       }},
      {"an input added to a layer norm of edges; a sum of edges is a part of the state",
       1,
       0,
       1,
       {0, -2},
       [](StepWeights& d, std::int64_t) {
         const std::int64_t h = d.hidden;
         Recurrence r;
         const auto y =
             of::input() + of::layer_norm(of::edge_state(1).columns(0, h), d({h}), Var());
         const auto e = r.stage(nn::ElmanTanh{}, y);
         const auto wide = r.stage(Diagonal{}, of::product(d({2 * h, h}), e[0]),
                                   of::unit(d({2 * h})), of::edge_state(1));
         const auto a = r.value(of::sum_of_edges(wide[0]));
         const auto h_next = r.stage(Output{}, a.columns(0, h), of::input());
         r.next({h_next[0], a});
         return r;
       }},
      {"the same edges in three formulas, in halves and whole",
       1,
       0,
       1,
       {-2},
       [](StepWeights& d, std::int64_t) {
         const std::int64_t h = d.hidden;
         Recurrence r;
         const auto s = of::edge_state(0);
         const auto a = r.stage(Output{}, s);
         const auto b = r.stage(ForgetNeighbour{}, of::input(), a[0], s.columns(h, h));
         const auto c = r.stage(nn::ElmanTanh{}, s);
         const auto z = of::product(d({2 * h, h}), of::input()) +
                        of::product(d({2 * h, h}), of::sum_of_edges(b[0])) +
                        of::product(d({2 * h, 2 * h}), of::mean_of_edges(c[0]));
         r.next(r.stage(nn::ElmanTanh{}, z));
         return r;
       }},
  };
  return all;
}

}  // namespace tapeloop::test
