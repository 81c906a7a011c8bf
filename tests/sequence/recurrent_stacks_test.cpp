// SPDX-License-Identifier: MIT
// unroll() and stacks of cells, which use recurrent(), against cells that have only step().
#include "tests/sequence/recurrent_oracle.h"

namespace tapeloop::test {
namespace {

constexpr DType kTypes[] = {DType::float64, DType::float32};

template <class C>
struct StepsOnly {
  using State = typename C::State;
  C cell;
  StepsOnly() = default;
  explicit StepsOnly(const C& of) : cell(of) {}
  using Options = nn::OptionsOf<C>;
  StepsOnly(const nn::RecurrentOptions& options, Random& random, const Options& own)
      : cell(options, random, own) {}
  auto state_sizes() const { return cell.state_sizes(); }
  Var input(const Var& x) const { return cell.input(x); }
  State step(const Var& zx, const State& state) const { return nn::step(cell, zx, state); }
  void visit(nn::Visitor& v) const { cell.visit(v); }
};
static_assert(nn::HasRecurrence<nn::LstmCell> && !nn::HasRecurrence<StepsOnly<nn::LstmCell>>);

template <class C>
std::vector<Tensor> run_stack(const nn::RecurrentOptions& options, const nn::OptionsOf<C>& own,
                              bool lengths, bool state) {
  Random random(7);
  const nn::Recurrent<C> model(options, random, own);
  const Var xs = parameter(random_tensor({5, 3, options.input}, 70, options.dtype));
  const std::vector<std::int64_t> list =
      lengths ? std::vector<std::int64_t>{5, 0, 3} : std::vector<std::int64_t>{};
  typename C::State start;
  const std::int64_t layers = options.layers * model.directions();
  for (std::size_t k = 0; state && k < C::State::parts; ++k) {
    start[k] = parameter(random_tensor({layers, 3, options.hidden}, 80 + k, options.dtype));
  }
  Tape tape;
  auto [ys, last] = model(xs, start, list);
  Var loss = sum(square(ys));
  for (const Var& part : last) loss = loss + sum(part * part * part);
  std::vector<Var> all = {xs};
  for (const NamedVar& p : nn::parameters(model)) all.push_back(p.var);
  for (std::size_t k = 0; state && k < C::State::parts; ++k) all.push_back(start[k]);
  std::vector<Tensor> result = {ys.value()};
  for (const Var& part : last) result.push_back(part.value());
  for (const Var& gradient : tape.gradient(loss, all)) result.push_back(gradient.value().clone());
  return result;
}

template <class C>
void compare_stacks(nn::RecurrentOptions options, const nn::OptionsOf<C>& own = {}) {
  for (const DType dtype : kTypes) {
    options.dtype = dtype;
    for (const bool lengths : {false, true}) {
      for (const bool state : {false, true}) {
        const std::vector<Tensor> a = run_stack<C>(options, own, lengths, state);
        const std::vector<Tensor> b = run_stack<StepsOnly<C>>(options, own, lengths, state);
        REQUIRE(a.size() == b.size());
        for (std::size_t i = 0; i < a.size(); ++i) {
          CAPTURE(i);
          CHECK(error_of(a[i], b[i]) <= allowed_error(dtype));
        }
      }
    }
  }
}

}  // namespace

TEST_CASE("stacks of cells give what the same cells give step by step") {
  for (const bool bias : {false, true}) {
    const nn::RecurrentOptions options{
        .input = 3, .hidden = 15, .layers = 2, .bidirectional = true, .bias = bias};
    compare_stacks<nn::LstmCell>(options);
    compare_stacks<nn::GruCell>(options);
    compare_stacks<nn::RnnCell>(options);
    compare_stacks<nn::RnnCell>(options, {.nonlinearity = nn::Nonlinearity::relu});
  }
}

TEST_CASE("unroll of a user's cell: a setting, padding with NaN, and the state it started from") {
  struct Cell {
    using State = nn::State<1>;
    Var from_x, from_h;
    double rate;
    std::array<std::int64_t, 1> state_sizes() const { return {from_h.dim(1)}; }
    Var input(const Var& x) const { return linear(x, from_x); }
    Recurrence recurrence() const {
      return {Leaky{rate}, of::input() + of::product(from_h), of::state(0)};
    }
  };
  for (const double rate : {0.25, 0.75}) {
    const Cell cell{parameter(random_tensor({17, 2}, 90)), parameter(random_tensor({17, 17}, 91)),
                    rate};
    const Tensor given = random_tensor({4, 2, 2}, 92);
    given.slice(0, 1, 4).slice(1, 0, 1).fill(std::nan(""));
    const Var xs = parameter(given);
    const std::int64_t lengths[] = {1, 4};
    const auto run = [&](const auto& some) {
      Tape tape;
      auto [ys, last] = nn::unroll(some, xs, {}, {.reverse = true, .lengths = lengths});
      const Var loss = sum(square(ys)) + sum(last.h());
      std::vector<Tensor> result = {ys.value(), last.h().value()};
      for (const Var& gradient : tape.gradient(loss, {xs, cell.from_x, cell.from_h}))
        result.push_back(gradient.value().clone());
      return result;
    };
    const std::vector<Tensor> a = run(cell), b = run(StepsOnly<Cell>(cell));
    for (std::size_t i = 0; i < a.size(); ++i) {
      CAPTURE(i);
      CHECK(error_of(a[i], b[i]) <= 1e-12);
    }
  }
}

}  // namespace tapeloop::test
