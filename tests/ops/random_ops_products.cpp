// SPDX-License-Identifier: MIT
// Rows for random programs: products, recurrences, indices, losses.
#include "tapeloop/autograd/sequence/recurrent.h"
#include "tapeloop/nn/cells/gates/gru.h"
#include "tapeloop/nn/cells/gates/lstm.h"
#include "tests/ops/random_programs.h"

namespace tapeloop::test {

// Two gates, one part of state: h' = h + sigmoid(u) (tanh(n) - h).
struct RandomGate {
  auto operator()(auto n, auto u, auto h) const { return h + sigmoid(u) * (tanh(n) - h); }
};

namespace {

double sigmoid_of(double x) { return 1 / (1 + std::exp(-x)); }
std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

// A matrix [rows, columns]: an existing one or a new input.
int matrix(Draw& d, std::int64_t rows, std::int64_t columns) {
  const int found = d.find([&](const Array& x) { return x.shape == Shape{rows, columns}; });
  return found >= 0 ? found : d.input({rows, columns}, -0.7, 0.7);
}

Tensor indices(const Step& s, const Shape& shape) {
  return Tensor::from(shape, std::vector<std::int64_t>(s.ints.end() - shape.numel(), s.ints.end()));
}
void draw_indices(Draw& d, Step& s, std::int64_t count, std::int64_t bound) {
  for (std::int64_t k = 0; k < count; ++k) s.ints.push_back(d.below(bound));
}

// --- recurrences: args zx [T, N, G H], w_hh [G H, H], then the parts of the state [N, H] ---

bool draw_sequence(Draw& d, Step& s, std::int64_t gates, int parts) {
  const std::int64_t steps = 1 + d.below(4), batch = d.size(), hidden = d.size();
  s.ints = {d.below(2)};  // reverse
  if (d.chance(0.4)) {
    for (std::int64_t n = 0; n < batch; ++n) s.ints.push_back(d.below(steps + 1));
  }
  s.args = {d.input({steps, batch, gates * hidden}), matrix(d, gates * hidden, hidden)};
  for (int k = 0; k < parts; ++k) s.args.push_back(d.input({batch, hidden}));
  return true;
}

// A step takes zx + w h, or zx and w h side by side if the formula takes both.
using StepLoop = void (*)(const std::vector<double>& z, std::vector<double>& state);

// hs and the last parts, concatenated to a vector, so that the loss depends on both.
Array sequence_loops(Arrays x, const Step& s, StepLoop step, bool apart = false) {
  const std::int64_t steps = x[0].shape[0], batch = x[0].shape[1], hidden = x[1].shape[1];
  const std::int64_t gates = x[0].shape[2] / hidden;
  std::vector<Array> parts(x.begin() + 2, x.end());
  Array hs{{steps, batch, hidden}, std::vector<double>(index(steps * batch * hidden))};
  for (std::int64_t k = 0; k < steps; ++k) {
    const std::int64_t t = s.ints[0] != 0 ? steps - 1 - k : k;
    const std::vector<Array> before = parts;
    for (std::int64_t n = 0; n < batch; ++n) {
      for (std::int64_t j = 0; j < hidden; ++j) {
        const std::size_t unit = index(n * hidden + j);
        const bool running = s.ints.size() == 1 || t < s.ints[index(1 + n)];
        if (running) {
          std::vector<double> z, state, product(index(gates));
          for (std::int64_t g = 0; g < gates; ++g) {
            z.push_back(x[0].at({t, n, g * hidden + j}));
            double& total = apart ? product[index(g)] : z.back();
            for (std::int64_t i = 0; i < hidden; ++i) {
              total += x[1].at({g * hidden + j, i}) * before[0].at({n, i});
            }
          }
          if (apart) z.insert(z.end(), product.begin(), product.end());
          for (const Array& part : before) state.push_back(part.values[unit]);
          step(z, state);
          for (std::size_t p = 0; p < parts.size(); ++p) parts[p].values[unit] = state[p];
        }
        hs.values[index((t * batch + n) * hidden + j)] = running ? parts[0].values[unit] : 0;
      }
    }
  }
  for (const Array& part : parts) {
    hs.values.insert(hs.values.end(), part.values.begin(), part.values.end());
  }
  hs.shape = {static_cast<std::int64_t>(hs.values.size())};
  return hs;
}

Var sequence(const Recurrence& recurrence, Inputs x, const Step& s) {
  const std::vector<std::int64_t> lengths(s.ints.begin() + 1, s.ints.end());
  const RecurrentResult y =
      recurrent(recurrence, x[0], x.subspan(2), {.reverse = s.ints[0] != 0, .lengths = lengths});
  std::vector<Var> all = {reshape(y.hs, {-1})};
  for (const Var& part : y.last) all.push_back(reshape(part, {-1}));
  return concat(all, 0);
}

// --- losses ---

Reduce reduce_of(const Step& s) {
  return s.ints[0] == 0 ? Reduce::mean : s.ints[0] == 1 ? Reduce::sum : Reduce::none;
}
double item_or_all(const Step& s, const std::vector<double>& items) {
  return s.ints[0] == 0 ? mean_of(items) : sum_of(items);
}

RandomOp loss_row(const char* name, const char* code, Var (*run)(const Var&, const Var&, Reduce),
                  double (*item)(double, double), double low, double high, double target_low,
                  double target_high, double kink) {
  const auto draw = [=](Draw& d, Step& s) {
    const int x = d.value([&](const Array& a) { return within(a, low, high); }, 0,
                          std::max(low, -1.5), std::min(high, 1.5));
    s.args = {x, d.input(d.shape(x), target_low, target_high)};
    s.ints = {d.below(3)};
    const Array both[] = {d.array(x), d.array(s.args[1])};
    const Array e = each2([](double a, double b) { return std::abs(a - b); })(both);
    return within(both[0], low, high) && (kink < 0 || within(e, 0, 60, {kink}));
  };
  return {name, code, draw,
          [run](Inputs x, const Step& s) { return run(x[0], x[1], reduce_of(s)); },
          [item](Arrays x, const Step& s) {
            Array items = each2(item)(x);
            return s.ints[0] == 2 ? items : Array{{}, {item_or_all(s, items.values)}};
          }};
}

CrossEntropyLoops cross_entropy_loops(const Step& s) {
  return {.ignored = -100, .smoothing = s.reals[0], .reduce = reduce_of(s)};
}

Array affine(Arrays x) {
  Array y = product(x[0], transposed(x[1]));
  return x.size() < 3 ? y
                      : make_array(y.shape, [&](const Index& i) { return y.at(i) + x[2].at(i); });
}

}  // namespace

std::vector<RandomOp> product_rows() {
  return {
      {"matmul", "matmul($0, $1)",
       [](Draw& d, Step& s) {
         const int a = d.value(1);
         const Shape shape = d.shape(a);
         const std::int64_t inner = shape.dim(-1);
         const int b = d.chance(0.2) ? d.input({inner})
                       : shape.rank() > 2 && d.chance(0.5)
                           ? d.input(shape.with(-1, d.size()).with(-2, inner))
                           : matrix(d, inner, d.size());
         s.args = {a, b};
         return true;
       },
       [](Inputs x, const Step&) { return matmul(x[0], x[1]); },
       [](Arrays x, const Step&) { return product(x[0], x[1]); }},
      {"linear", "linear($0, $1, $2)",
       [](Draw& d, Step& s) {
         const int x = d.value(1);
         const std::int64_t out = d.size();
         s.args = {x, matrix(d, out, d.shape(x).dim(-1))};
         if (d.chance(0.7)) s.args.push_back(d.input({out}));
         return true;
       },
       [](Inputs x, const Step&) { return linear(x[0], x[1], x.size() > 2 ? x[2] : Var()); },
       [](Arrays x, const Step&) { return affine(x); }},
      {"linear_each", "linear_each($0, $1)",
       [](Draw& d, Step& s) {
         const int x = d.value([](const Array& a) { return a.shape.rank() <= 3; }, 2);
         const Shape shape = d.shape(x);
         s.args = {x, d.input({shape.dim(-2), d.size(), shape.dim(-1)})};
         return shape.rank() <= 3;
       },
       [](Inputs x, const Step&) { return linear_each(x[0], x[1]); },
       [](Arrays x, const Step&) {
         const Shape& w = x[1].shape;
         return make_array(x[0].shape.with(-1, w[1]), [&](const Index& i) {
           const std::int64_t o = i.back(), n = i[i.size() - 2];
           double total = 0;
           for (std::int64_t k = 0; k < w[2]; ++k) {
             total += x[0].at(with(i, x[0].shape.rank() - 1, k)) * x[1].at({n, o, k});
           }
           return total;
         });
       }},
      {"recurrent",
       "recurrent(Recurrence(RandomGate{}, of::input() + of::product($1), of::state(0)), $0, {$2}, "
       "{reverse, lengths: #*})",
       [](Draw& d, Step& s) { return draw_sequence(d, s, 2, 1); },
       [](Inputs x, const Step& s) {
         return sequence({RandomGate{}, of::input() + of::product(x[1]), of::state(0)}, x, s);
       },
       [](Arrays x, const Step& s) {
         return sequence_loops(x, s, [](const std::vector<double>& z, std::vector<double>& state) {
           state[0] += sigmoid_of(z[1]) * (std::tanh(z[0]) - state[0]);
         });
       }},
      {"lstm",
       "recurrent(Recurrence(LstmGates{}, of::input() + of::product($1), of::state(1)), $0, {$2, "
       "$3}, "
       "{reverse, lengths: #*})",
       [](Draw& d, Step& s) { return draw_sequence(d, s, 4, 2); },
       [](Inputs x, const Step& s) {
         return sequence({nn::LstmGates{}, of::input() + of::product(x[1]), of::state(1)}, x, s);
       },
       [](Arrays x, const Step& s) {
         return sequence_loops(x, s, [](const std::vector<double>& z, std::vector<double>& state) {
           state[1] = sigmoid_of(z[1]) * state[1] + sigmoid_of(z[0]) * std::tanh(z[2]);
           state[0] = sigmoid_of(z[3]) * std::tanh(state[1]);
         });
       }},
      {"gru",
       "recurrent(Recurrence(GruGates{}, of::input(), of::product($1), of::state(0)), $0, {$2}, "
       "{reverse, lengths: #*})",
       [](Draw& d, Step& s) { return draw_sequence(d, s, 3, 1); },
       [](Inputs x, const Step& s) {
         return sequence({nn::GruGates{}, of::input(), of::product(x[1]), of::state(0)}, x, s);
       },
       [](Arrays x, const Step& s) {
         return sequence_loops(
             x, s,
             [](const std::vector<double>& z, std::vector<double>& state) {
               const double n = std::tanh(z[2] + sigmoid_of(z[0] + z[3]) * z[5]);
               state[0] = n + sigmoid_of(z[1] + z[4]) * (state[0] - n);
             },
             true);
       }},
      {"layer_norm", "layer_norm($0, $1, $2)",
       [](Draw& d, Step& s) {
         const int x = d.value(1);
         const Array rows = d.array(x);
         const std::int64_t width = rows.shape.dim(-1);
         s.args = {x, d.input({width}), d.input({width})};
         return width > 2 && within(reduced(rows, {-1}, true, biased_var_of), 0.05, 1000);
       },
       [](Inputs x, const Step&) { return layer_norm(x[0], x[1], x[2]); },
       [](Arrays x, const Step&) {
         const Array mean = reduced(x[0], {-1}, true, mean_of);
         const Array var = reduced(x[0], {-1}, true, biased_var_of);
         return make_array(x[0].shape, [&](const Index& i) {
           return (x[0].at(i) - mean.at(i)) / std::sqrt(var.at(i) + 1e-5) * x[1].at(i) + x[2].at(i);
         });
       }},
      {"embedding", "embedding($0, {#*})",  // 2 rows of indices
       [](Draw& d, Step& s) {
         s.args = {matrix(d, d.size(), d.size())};
         draw_indices(d, s, 2 * d.size(), d.shape(s.args[0])[0]);
         return true;
       },
       [](Inputs x, const Step& s) {
         const auto half = static_cast<std::int64_t>(s.ints.size()) / 2;
         return embedding(x[0], indices(s, {2, half}));
       },
       [](Arrays x, const Step& s) {
         const auto half = static_cast<std::int64_t>(s.ints.size()) / 2;
         return make_array({2, half, x[0].shape[1]}, [&](const Index& i) {
           return x[0].at({s.ints[index(i[0] * half + i[1])], i[2]});
         });
       }},
      {"take", "take($0, {rest}, #0)  /* #* */",
       [](Draw& d, Step& s) {
         s.args = {d.value(1)};
         const Shape& shape = d.shape(s.args[0]);
         s.ints = {d.axis(shape)};
         draw_indices(d, s, d.size(), shape[static_cast<int>(s.ints[0])]);
         return true;
       },
       [](Inputs x, const Step& s) {
         return take(x[0], indices(s, {static_cast<std::int64_t>(s.ints.size()) - 1}),
                     static_cast<int>(s.ints[0]));
       },
       [](Arrays x, const Step& s) {
         const auto axis = static_cast<int>(s.ints[0]);
         const auto count = static_cast<std::int64_t>(s.ints.size()) - 1;
         return make_array(x[0].shape.with(axis, count), [&](const Index& i) {
           return x[0].at(with(i, axis, s.ints[1 + index(i[index(axis)])]));
         });
       }},
      {"gather", "gather($0, {#2 onwards, size #1 along it}, #0)  /* #* */",
       [](Draw& d, Step& s) {
         s.args = {d.value(1)};
         const Shape& shape = d.shape(s.args[0]);
         const int axis = d.axis(shape);
         s.ints = {axis, d.size()};
         draw_indices(d, s, shape.with(axis, s.ints[1]).numel(), shape[axis]);
         return true;
       },
       [](Inputs x, const Step& s) {
         const auto axis = static_cast<int>(s.ints[0]);
         return gather(x[0], indices(s, x[0].shape().with(axis, s.ints[1])), axis);
       },
       [](Arrays x, const Step& s) {
         const auto axis = static_cast<int>(s.ints[0]);
         std::size_t place = 2;
         return make_array(x[0].shape.with(axis, s.ints[1]),
                           [&](const Index& i) { return x[0].at(with(i, axis, s.ints[place++])); });
       }},
      {"cross_entropy", "cross_entropy($0, {targets}, {.label_smoothing = %0, #0})  /* #* */",
       [](Draw& d, Step& s) {
         s.args = {d.value(2)};
         const Shape& shape = d.shape(s.args[0]);
         s.ints = {d.below(3)};
         s.reals = {d.chance(0.5) ? 0.0 : 0.2};
         const std::int64_t items = shape.removed(-1).numel();
         draw_indices(d, s, items, shape.dim(-1));
         for (std::int64_t k = 1; k < items; ++k) {  // the first one counts
           if (d.chance(0.2)) s.ints[1 + index(k)] = -100;
         }
         return true;
       },
       [](Inputs x, const Step& s) {
         return cross_entropy(x[0], indices(s, x[0].shape().removed(-1)),
                              {.label_smoothing = s.reals[0], .reduce = reduce_of(s)});
       },
       [](Arrays x, const Step& s) {
         return cross_entropy_loops(s)(x[0], indices(s, x[0].shape.removed(-1)));
       }},
      loss_row(
          "mse", "mse($0, $1, #0)", mse, [](double a, double t) { return (a - t) * (a - t); }, -3.5,
          3.5, -1.5, 1.5, -1),
      loss_row(
          "l1_loss", "l1_loss($0, $1, #0)", l1_loss,
          [](double a, double t) { return std::abs(a - t); }, -30, 30, -1.5, 1.5, 0),
      loss_row(
          "huber", "huber($0, $1, 0.7, #0)",
          [](const Var& x, const Var& t, Reduce r) { return huber(x, t, 0.7, r); },
          [](double a, double t) {
            const double e = std::abs(a - t);
            return e <= 0.7 ? 0.5 * e * e : 0.7 * (e - 0.35);
          },
          -30, 30, -1.5, 1.5, 0.7),
      loss_row(
          "bce_with_logits", "bce_with_logits($0, $1, #0)", bce_with_logits,
          [](double a, double t) {
            return -t * std::log(sigmoid_of(a)) - (1 - t) * std::log(sigmoid_of(-a));
          },
          -15, 15, 0.1, 0.9, -1),
      loss_row(
          "kl_divergence", "kl_divergence($0, $1, #0)", kl_divergence,
          [](double a, double t) { return t * (std::log(t) - a); }, -15, 15, 0.1, 0.9, -1),
  };
}

}  // namespace tapeloop::test
