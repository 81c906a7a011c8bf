// SPDX-License-Identifier: MIT
// Random programs: drawing, evaluating and printing them. Knows no operation.
#include "tests/ops/random_programs.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "tapeloop/autograd/tape/recompute.h"

namespace tapeloop::test {
namespace {

constexpr double kLargest = 30;  // of a value: larger values leave no digits to compare

bool compatible(const Shape& a, const Shape& b) {
  for (int i = 1; i <= std::min(a.rank(), b.rank()); ++i) {
    if (a.dim(-i) != b.dim(-i) && a.dim(-i) != 1 && b.dim(-i) != 1) return false;
  }
  return true;
}

std::vector<Var> part_of(std::span<const Var> values, const Step& step) {
  std::vector<Var> result;
  for (int arg : step.args) result.push_back(values[static_cast<std::size_t>(arg)]);
  return result;
}
std::vector<Array> part_of(std::span<const Array> values, const Step& step) {
  std::vector<Array> result;
  for (int arg : step.args) result.push_back(values[static_cast<std::size_t>(arg)]);
  return result;
}

const RandomOp& row(const Step& step) { return random_ops()[static_cast<std::size_t>(step.op)]; }

// Adds one operation. Returns false, and changes nothing, if the operation does not fit.
bool add_step(Program& program, Draw& draw, const ProgramSize& size) {
  const std::size_t before = program.steps.size();
  Step step;
  step.op = static_cast<int>(draw.below(static_cast<std::int64_t>(random_ops().size())));
  if (row(step).draw(draw, step)) {
    Array result = row(step).loops(part_of(std::span<const Array>(program.values), step), step);
    if (within(result, -kLargest, kLargest) && result.shape.numel() <= size.numel &&
        result.shape.rank() <= 5) {
      program.steps.push_back(std::move(step));
      program.values.push_back(std::move(result));
      return true;
    }
  }
  program.steps.resize(before);
  program.values.resize(before);
  return false;
}

}  // namespace

bool within(const Array& x, double low, double high, std::initializer_list<double> kinks) {
  return std::all_of(x.values.begin(), x.values.end(), [&](double v) {
    return v >= low && v <= high && std::all_of(kinks.begin(), kinks.end(), [&](double kink) {
             return std::abs(v - kink) >= kKinkDistance;
           });
  });
}

// --- drawing ---

std::uint64_t Draw::next() {  // splitmix64
  std::uint64_t z = program_.seed += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}
std::int64_t Draw::below(std::int64_t bound) {
  return static_cast<std::int64_t>(next() % static_cast<std::uint64_t>(bound));
}
double Draw::uniform(double low, double high) {
  return low + (high - low) * static_cast<double>(next() >> 11) * 0x1p-53;
}

int Draw::input(const Shape& shape, double low, double high) {
  Array array{shape, {}};
  for (std::int64_t i = 0; i < shape.numel(); ++i) array.values.push_back(uniform(low, high));
  program_.steps.push_back({});
  program_.values.push_back(std::move(array));
  return static_cast<int>(program_.values.size()) - 1;
}

Shape Draw::any_shape(int least_rank, int most_rank) {
  std::vector<std::int64_t> sizes(
      static_cast<std::size_t>(least_rank + below(most_rank - least_rank + 1)));
  std::int64_t numel = 1;
  for (std::int64_t& s : sizes) {
    s = size();
    if (numel * s > size_.numel) s = 1;
    numel *= s;
  }
  return Shape(sizes);
}

int Draw::find(const std::function<bool(const Array&)>& fits) {
  const auto count = static_cast<std::int64_t>(program_.values.size());
  for (int tries = 0; tries < 6; ++tries) {
    const auto index = static_cast<int>(std::max(below(count), below(count)));
    if (fits(array(index))) return index;
  }
  return -1;
}
int Draw::value(const std::function<bool(const Array&)>& fits, int least_rank, double low,
                double high) {
  const int found = find([&](const Array& x) { return x.shape.rank() >= least_rank && fits(x); });
  return found >= 0 ? found : input(any_shape(least_rank, std::max(least_rank, 3)), low, high);
}
int Draw::value(int least_rank) {
  return value([](const Array&) { return true; }, least_rank);
}

int Draw::partner(int value, double low, double high) {
  const Shape to = shape(value);  // a copy: an input may move the arrays
  const auto count = static_cast<std::int64_t>(program_.values.size());
  for (int tries = 0; tries < 4; ++tries) {
    const auto index = static_cast<int>(below(count));
    if (compatible(shape(index), to) && within(array(index), low, high)) return index;
  }
  std::vector<std::int64_t> sizes(to.begin(), to.end());
  if (chance(0.5)) sizes.erase(sizes.begin(), sizes.begin() + below(to.rank() + 1));
  for (std::int64_t& s : sizes) s = chance(0.25) ? 1 : s;
  return input(Shape(sizes), low, high);
}

Program random_program(std::uint64_t seed, const ProgramSize& size) {
  Program program;
  program.seed = seed;
  Draw draw(program, size);
  draw.input(draw.any_shape(1, 4));
  int steps = 1 + static_cast<int>(draw.below(size.steps));
  for (int tries = 0; steps > 0 && tries < 200; ++tries) steps -= add_step(program, draw, size);
  std::vector<bool> taken(program.steps.size());
  for (const Step& step : program.steps) {
    for (int arg : step.args) taken[static_cast<std::size_t>(arg)] = true;
  }
  for (std::size_t i = 0; i < taken.size(); ++i) {
    if (taken[i] && !draw.chance(0.1)) continue;
    program.outputs.push_back(static_cast<int>(i));
    Array weight{program.values[i].shape, {}};
    for (std::int64_t k = 0; k < weight.shape.numel(); ++k) {
      weight.values.push_back(draw.uniform(0.5, 1.5) * (draw.chance(0.5) ? 1 : -1));
    }
    program.weights.push_back(std::move(weight));
  }
  program.seed = seed;
  return program;
}

Program part(const Program& program, std::size_t output) {
  std::vector<int> place(program.steps.size(), -1);  // in the part
  place[static_cast<std::size_t>(program.outputs[output])] = 0;
  for (std::size_t i = program.steps.size(); i-- > 0;) {
    if (place[i] < 0) continue;
    for (int arg : program.steps[i].args) place[static_cast<std::size_t>(arg)] = 0;
  }
  Program result;
  result.seed = program.seed;
  for (std::size_t i = 0; i < program.steps.size(); ++i) {
    if (place[i] < 0) continue;
    place[i] = static_cast<int>(result.steps.size());
    result.steps.push_back(program.steps[i]);
    for (int& arg : result.steps.back().args) arg = place[static_cast<std::size_t>(arg)];
    result.values.push_back(program.values[i]);
  }
  result.outputs = {place[static_cast<std::size_t>(program.outputs[output])]};
  result.weights = {program.weights[output]};
  return result;
}

// --- evaluating ---

std::vector<int> Program::inputs() const {
  std::vector<int> result;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    if (steps[i].op < 0) result.push_back(static_cast<int>(i));
  }
  return result;
}

std::vector<Array> input_values(const Program& program) {
  std::vector<Array> result;
  for (int i : program.inputs()) result.push_back(program.values[static_cast<std::size_t>(i)]);
  return result;
}
std::vector<Array> evaluate_by_loops(const Program& program, std::span<const Array> inputs) {
  std::vector<Array> values;
  std::size_t input = 0;
  for (const Step& step : program.steps) {
    values.push_back(step.op < 0
                         ? inputs[input++]
                         : row(step).loops(part_of(std::span<const Array>(values), step), step));
  }
  return values;
}

double loss_by_loops(const Program& program, std::span<const Array> inputs) {
  const std::vector<Array> values = evaluate_by_loops(program, inputs);
  double total = 0;
  for (std::size_t k = 0; k < program.outputs.size(); ++k) {
    const Array& y = values[static_cast<std::size_t>(program.outputs[k])];
    for (std::size_t i = 0; i < y.values.size(); ++i) {
      total += program.weights[k].values[i] * y.values[i];
    }
  }
  for (const Array& x : inputs) {
    for (double v : x.values) total += 0.25 * v * v;
  }
  return total;
}

std::vector<Var> variables(std::span<const Array> values, DType dtype) {
  std::vector<Var> result;
  for (const Array& x : values) {
    result.push_back(parameter(Tensor::from(x.shape, x.values).to(dtype)));
  }
  return result;
}

static PoolVector<Var> evaluate(const Program& program, std::span<const Var> inputs) {
  std::vector<Var> values;
  std::size_t input = 0;
  for (const Step& step : program.steps) {
    values.push_back(step.op < 0
                         ? inputs[input++]
                         : row(step).run(part_of(std::span<const Var>(values), step), step));
  }
  PoolVector<Var> result;
  for (int i : program.outputs) result.push_back(values[static_cast<std::size_t>(i)]);
  return result;
}

// The sum of w x over all of `xs`.
static Var weighted(std::span<const Var> xs, const std::vector<Array>& weights) {
  Var total;
  for (std::size_t k = 0; k < xs.size(); ++k) {
    const Tensor w = Tensor::from(weights[k].shape, weights[k].values).to(xs[k].dtype());
    const Var term = sum(xs[k] * Var(w));
    total = total.defined() ? total + term : term;
  }
  return total;
}

Results run(const Program& program, std::span<const Var> inputs, How how,
            const std::vector<Array>* direction) {
  Results results;
  Tape tape;
  const auto function = [&](std::span<const Var> xs) { return evaluate(program, xs); };
  const auto of_parameters = [&](std::span<const Var>) { return evaluate(program, inputs); };
  const PoolVector<Var> outputs = how == How::stored       ? evaluate(program, inputs)
                                  : how == How::recomputed ? recompute(inputs, function)
                                                           : recompute({}, of_parameters);
  for (const Var& y : outputs) results.values.push_back(y.value());
  Var loss = weighted(outputs, program.weights);
  for (const Var& x : inputs) loss = loss + sum(square(x)) * 0.25;
  const std::vector<Var> gradients =
      tape.gradient(loss, inputs, {.create_graph = direction != nullptr});
  for (const Var& g : gradients) results.gradients.push_back(g.value());
  if (direction == nullptr) return results;
  for (const Var& h : tape.gradient(weighted(gradients, *direction), inputs)) {
    results.second.push_back(h.value());
  }
  return results;
}

std::vector<Array> directions(const Program& program, std::uint64_t seed) {
  std::vector<Array> result = input_values(program);
  for (Array& x : result) {
    x.values = random_values(x.shape.numel(), -0.5, 0.5, ++seed + program.seed * 64);
    for (double& v : x.values) v += v < 0 ? -0.5 : 0.5;
  }
  return result;
}

bool same(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), same_bits);
}
bool same(const Results& a, const Results& b) {
  return same(a.values, b.values) && same(a.gradients, b.gradients) && same(a.second, b.second);
}

// --- printing ---

std::string Program::code() const {
  std::string text = fmt::format("// seed {}\n", seed);
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const Step& step = steps[i];
    const std::string sizes =
        fmt::format("{}", fmt::join(values[i].shape.begin(), values[i].shape.end(), ", "));
    text += fmt::format("Var v{} = ", i);
    if (step.op < 0) {
      text += fmt::format("parameter(Tensor::from<double>({{{}}}, {{{}}}));\n", sizes,
                          fmt::join(values[i].values, ", "));
      continue;
    }
    std::string line = row(step).code;
    const auto replace = [&](const std::string& what, const std::string& by) {
      for (std::size_t at = 0; (at = line.find(what, at)) != std::string::npos; at += by.size()) {
        line.replace(at, what.size(), by);
      }
    };
    for (std::size_t k = 0; k < step.args.size(); ++k) {
      replace(fmt::format("${}", k), fmt::format("v{}", step.args[k]));
    }
    replace("#*", fmt::format("{}", fmt::join(step.ints, ", ")));
    for (std::size_t k = 0; k < std::min<std::size_t>(step.ints.size(), 10); ++k) {
      replace(fmt::format("#{}", k), std::to_string(step.ints[k]));
    }
    for (std::size_t k = 0; k < step.reals.size(); ++k) {
      replace(fmt::format("%{}", k), fmt::format("{}", step.reals[k]));
    }
    text += fmt::format("{};  // [{}]\n", line, sizes);
  }
  return text + fmt::format("// outputs: v{}\n", fmt::join(outputs, ", v"));
}

std::string Program::json() const {
  const auto list = [](const auto& items) {
    return fmt::format("[{}]", fmt::join(items.begin(), items.end(), ","));
  };
  std::string nodes, weight;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const Step& step = steps[i];
    nodes += fmt::format(R"({}{{"op":"{}","args":{},"ints":{},"reals":{},"shape":{},"values":{}}})",
                         i == 0 ? "" : ",", step.op < 0 ? "input" : row(step).name, list(step.args),
                         list(step.ints), list(step.reals), list(values[i].shape),
                         step.op < 0 ? list(values[i].values) : "[]");
  }
  for (const Array& w : weights) weight += (weight.empty() ? "" : ",") + list(w.values);
  return fmt::format(R"({{"seed":{},"steps":[{}],"outputs":{},"weights":[{}]}})", seed, nodes,
                     list(outputs), weight);
}

std::span<const RandomOp> random_ops() {
  static const std::vector<RandomOp> kRows = [] {
    std::vector<RandomOp> rows;
    for (std::vector<RandomOp> part :
         {pointwise_rows(), shape_rows(), reduction_rows(), product_rows()}) {
      rows.insert(rows.end(), part.begin(), part.end());
    }
    return rows;
  }();
  return kRows;
}

}  // namespace tapeloop::test
