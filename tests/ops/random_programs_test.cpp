// SPDX-License-Identifier: MIT
// Compares random programs with plain loops and finite differences: with one thread and two, stored
// and recomputed. `./dev diff` compares the same programs with PyTorch.
#include "tests/ops/random_programs.h"

#include <fmt/format.h>

#include <map>

namespace tapeloop::test {
namespace {

double dot(const Tensor& a, const Array& b) {
  const std::vector<double> values = a.to_vector<double>();
  double total = 0;
  for (std::size_t i = 0; i < values.size(); ++i) total += values[i] * b.values[i];
  return total;
}

std::vector<Array> moved(std::vector<Array> x, const std::vector<Array>& by, double step) {
  for (std::size_t i = 0; i < x.size(); ++i) {
    for (std::size_t k = 0; k < x[i].values.size(); ++k) x[i].values[k] += step * by[i].values[k];
  }
  return x;
}
// Calculates df/dt at 0 from four points.
template <class F>
double slope(F f) {
  constexpr double h = 1e-4;
  return (8 * (f(h) - f(-h)) - (f(2 * h) - f(-2 * h))) / (12 * h);
}

bool near(double found, double expected, double size) {
  return std::abs(found - expected) <= 2e-7 * (1 + size);
}
double size_of_product(const Tensor& a, const Array& b) {
  const std::vector<double> values = a.to_vector<double>();
  double total = 0;
  for (std::size_t i = 0; i < values.size(); ++i) total += std::abs(values[i] * b.values[i]);
  return total;
}

bool close(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(),
                    [](const auto& x, const auto& y) { return distance(x, y) < 1e-10; });
}

// Describes the first difference; empty if there is none.
std::string problem_of(const Program& program) {
  const std::vector<Array> x = input_values(program);
  const std::vector<Var> inputs = variables(x);
  const Results plain = run(program, inputs, How::stored, nullptr);
  for (std::size_t k = 0; k < program.outputs.size(); ++k) {
    const Array& expected = program.values[static_cast<std::size_t>(program.outputs[k])];
    if (plain.values[k].shape() != expected.shape ||
        !(distance(plain.values[k].to_vector<double>(), expected.values) < 1e-10)) {
      return fmt::format("value of v{}", program.outputs[k]);
    }
  }
  const std::vector<Array> d = directions(program, 1), e = directions(program, 33);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double numeric = slope([&](double t) {
      std::vector<Array> there = x;
      there[i] = moved({x[i]}, {d[i]}, t)[0];
      return loss_by_loops(program, there);
    });
    const double found = dot(plain.gradients[i], d[i]);
    if (!near(found, numeric, size_of_product(plain.gradients[i], d[i]))) {
      return fmt::format("gradient of v{}: {} along a direction, by differences {}",
                         program.inputs()[i], found, numeric);
    }
  }
  const Results whole = run(program, inputs, How::stored, &d);
  const double numeric = slope([&](double t) {
    const Results there = run(program, variables(moved(x, e, t)), How::stored, nullptr);
    double total = 0;
    for (std::size_t i = 0; i < x.size(); ++i) total += dot(there.gradients[i], d[i]);
    return total;
  });
  double found = 0, size = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    found += dot(whole.second[i], e[i]);
    size += size_of_product(whole.second[i], e[i]);
  }
  if (!near(found, numeric, size)) {
    return fmt::format("second derivative: {} along directions, by differences {}", found, numeric);
  }
  if (!close(whole.gradients, plain.gradients)) return "gradient with create_graph";
  const Results inner = run(program, inputs, How::parameters_recomputed, nullptr);
  if (!same(inner.values, plain.values)) return "values of recompute()";
  if (!same(inner.gradients, plain.gradients)) return "gradients of recompute()";
  const Results outer = run(program, inputs, How::recomputed, &d);
  if (!close(outer.gradients, plain.gradients)) return "gradients of recompute()'s inputs";
  if (!close(outer.second, whole.second)) return "second derivatives of recompute()";
  return {};
}

// Returns the program, or a part of it that fails too.
Program smallest_failing(const Program& program) {
  for (std::size_t k = 0; k < program.outputs.size() && program.outputs.size() > 1; ++k) {
    const Program smaller = part(program, k);
    if (!problem_of(smaller).empty()) return smaller;
  }
  return program;
}

constexpr std::uint64_t kFirstSeed = 1;
constexpr int kPrograms = 2000;

}  // namespace

TEST_CASE(
    "2000 random programs agree with loops, differences of first and second order, and "
    "recompute()") {
  std::map<int, int> used;
  for (std::uint64_t seed = kFirstSeed; seed < kFirstSeed + kPrograms; ++seed) {
    const Program program = random_program(seed, seed % 3 == 0 ? kLonger : ProgramSize{});
    for (const Step& step : program.steps) ++used[step.op];
    if (problem_of(program).empty()) continue;
    const Program smallest = smallest_failing(program);
    FAIL_CHECK(problem_of(smallest) << " of\n" << smallest.code());
  }
  for (int op = 0; op < static_cast<int>(random_ops().size()); ++op) {
    CHECK_MESSAGE(used[op] >= 20, random_ops()[static_cast<std::size_t>(op)].name);
  }
}

TEST_CASE("random programs of large tensors have the same bits with two threads") {
  for (std::uint64_t seed = kFirstSeed; seed < kFirstSeed + 40; ++seed) {
    const Program program = random_program(seed, kLarge);
    const std::vector<Var> inputs = variables(input_values(program));
    const std::vector<Array> d = directions(program, 1);
    const Results one = run(program, inputs, How::stored, &d);
    const Threads threads(2);
    CHECK_MESSAGE(same(run(program, inputs, How::stored, &d), one), program.code().substr(0, 2000));
  }
}

TEST_CASE("float32 follows float64 through random programs") {
  for (std::uint64_t seed = kFirstSeed; seed < kFirstSeed + 500; ++seed) {
    const Program program = random_program(seed);
    const Results wide = run(program, variables(input_values(program)), How::stored, nullptr);
    const Results narrow =
        run(program, variables(input_values(program), DType::float32), How::stored, nullptr);
    for (std::size_t k = 0; k < wide.values.size(); ++k) {
      CHECK_MESSAGE(distance(narrow.values[k], wide.values[k]) < 1e-3, program.code());
    }
  }
}

}  // namespace tapeloop::test
