// SPDX-License-Identifier: MIT
// Traces functors, writes them as text, and calculates the values of their parts.
#include "tapeloop/autograd/ops/formula.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>

#include "tapeloop/autograd/ops/ops.h"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop {

namespace {

using detail::FormulaOp;
using detail::FormulaTrace;

constexpr std::size_t kLongestText = 60;

// The names of the functions of a list, and the functions on Vars.
template <class... Rule>
const char* name_in(TypeList<Rule...>, std::size_t i) {
  constexpr const char* kNames[] = {Rule::name...};
  return kNames[i];
}
template <class Rule>
Var call(const Var& x) {
  return pointwise(Rule{}, x);
}
template <class... Rule>
Var call_in(TypeList<Rule...>, std::size_t i, const Var& x) {
  constexpr Var (*kCalls[])(const Var&) = {&call<Rule>...};
  return kCalls[i](x);
}
bool of_one_argument(FormulaOp op) { return op >= FormulaOp::function; }
std::size_t function_number(FormulaOp op) {
  return static_cast<std::size_t>(static_cast<int>(op) - detail::kFirstFunction);
}

const char* function_name(FormulaOp op) {
  if (of_one_argument(op)) return name_in(formula::Functions{}, function_number(op));
  switch (op) {
    case FormulaOp::select: return "select";
    case FormulaOp::max: return "max";
    case FormulaOp::min: return "min";
    case FormulaOp::clamp: return "clamp";
    case FormulaOp::pow: return "pow";
    default: return nullptr;
  }
}

struct Infix {
  const char* sign;
  int precedence;  // higher binds tighter
};
Infix infix(FormulaOp op) {
  switch (op) {
    case FormulaOp::add: return {" + ", 5};
    case FormulaOp::sub: return {" - ", 5};
    case FormulaOp::mul: return {" * ", 6};
    case FormulaOp::div: return {" / ", 6};
    case FormulaOp::less: return {" < ", 4};
    case FormulaOp::less_equal: return {" <= ", 4};
    case FormulaOp::equal: return {" == ", 3};
    case FormulaOp::both: return {" & ", 2};
    case FormulaOp::either: return {" | ", 1};
    default: return {nullptr, 0};
  }
}

// Word number i of a list of words; empty if there are fewer.
std::string word(const char* words, int i) {
  std::string_view rest = words == nullptr ? "" : words;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find(' '), rest.size());
    if (end > 0 && i-- == 0) return std::string(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return "";
}

}  // namespace

int FormulaTrace::add(const Operation& operation) {
  const auto found = std::find(operations.begin(), operations.end(), operation);
  if (found != operations.end()) return static_cast<int>(found - operations.begin());
  operations.push_back(operation);
  return static_cast<int>(operations.size()) - 1;
}

int detail::add_to_trace(FormulaTrace& list, FormulaOp op, int a, int b, int c) {
  return list.add({op, a, b, c, 0});
}
int detail::add_constant_to_trace(FormulaTrace& list, double value) {
  return list.add({FormulaOp::constant, -1, -1, -1, value});
}
void detail::add_result_to_trace(FormulaTrace& list, int node) { list.results.push_back(node); }

bool FormulaTrace::Operation::operator==(const Operation& other) const {
  return op == other.op && a == other.a && b == other.b && c == other.c &&
         (constant == other.constant || (std::isnan(constant) && std::isnan(other.constant)));
}

FormulaTrace detail::trace_of(const PointwiseKernel& kernel, const void* functor) {
  FormulaTrace trace;
  if (kernel.trace == nullptr) return trace;
  // A gradient takes its formula's arguments and upstream gradients, and returns one
  // gradient for each argument.
  int results = kernel.outputs;
  trace.arguments = kernel.inputs;
  for (int order = kernel.order; order > 0; --order) {
    const int formula_results = trace.arguments - results;
    trace.arguments = std::exchange(results, formula_results);
  }
  for (int i = 0; i < trace.arguments; ++i) trace.add({FormulaOp::argument, i, -1, -1, 0});
  kernel.trace(functor, trace);  // the functor of a gradient holds only its formula
  return trace;
}

std::vector<Var> detail::arguments_of(std::span<const PointwiseInput> inputs) {
  std::vector<Var> result;
  for (const PointwiseInput& input : inputs) {
    const Tensor& value = input.var->value();
    for (int g = 0; g < input.columns; ++g) {
      const std::int64_t width = input.columns == 1 ? 0 : value.dim(-1) / input.columns;
      result.emplace_back(
          input.columns == 1 ? value : value.slice(value.rank() - 1, g * width, (g + 1) * width));
    }
  }
  return result;
}

Formula::Formula(const PointwiseKernel& kernel, const void* functor)
    : argument_names_(kernel.argument_names), result_names_(kernel.result_names) {
  if (kernel.order > 0) return;
  const FormulaTrace trace = detail::trace_of(kernel, functor);
  arguments_ = trace.arguments;
  results_.assign(trace.results.begin(), trace.results.end());
  nodes_.assign(trace.operations.begin(), trace.operations.end());
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    using Kind = FormulaPart::Kind;
    const FormulaOp op = nodes_[i].op;
    const Kind kind = op == FormulaOp::argument      ? Kind::argument
                      : op == FormulaOp::constant    ? Kind::constant
                      : function_name(op) != nullptr ? Kind::function
                                                     : Kind::arithmetic;
    parts_.push_back({text(static_cast<int>(i), 0, kLongestText), kind});
  }
}

std::string Formula::argument_name(int i) const {
  const std::string given = word(argument_names_, i);
  return given.empty() ? fmt::format("a{}", i) : given;
}

std::string Formula::result_name(int k) const {
  if (std::string given = word(result_names_, k); !given.empty()) return given;
  return k == 0 ? "h" : fmt::format("s{}", k);
}

std::string Formula::text(int node, int outer_precedence, std::size_t most) const {
  const Node& n = nodes_[static_cast<std::size_t>(node)];
  std::string result;
  int precedence = 9;
  if (n.op == FormulaOp::argument) {
    result = argument_name(n.a);
  } else if (n.op == FormulaOp::constant) {
    result = fmt::format("{:.6g}", n.constant);
  } else if (n.op == FormulaOp::negate || n.op == FormulaOp::opposite) {
    result = (n.op == FormulaOp::negate ? "-" : "!") + text(n.a, 8, most);
    precedence = 7;
  } else if (const char* function = function_name(n.op)) {
    result = function + ("(" + text(n.a, 0, most));
    for (const int more : {n.b, n.c}) {
      if (more >= 0) result += ", " + text(more, 0, most);
    }
    result += ")";
  } else {
    const Infix sign = infix(n.op);
    precedence = sign.precedence;
    result = text(n.a, precedence, most) + sign.sign + text(n.b, precedence + 1, most);
  }
  if (precedence < outer_precedence) result = "(" + result + ")";
  if (result.size() > most) result = result.substr(0, most - 3) + "...";
  return result;
}

std::string Formula::str() const {
  std::string result;
  for (int k = 0; k < results(); ++k) {
    result += result_name(k) + " = " + text(result_part(k), 0, std::string::npos) + "\n";
  }
  return result;
}

Var Formula::value(const Node& n, std::span<const Var> values) const {
  const auto at = [&](int i) -> const Var& { return values[static_cast<std::size_t>(i)]; };
  const Var& a = n.a >= 0 && n.op != FormulaOp::argument ? at(n.a) : values[0];
  if (of_one_argument(n.op)) return call_in(formula::Functions{}, function_number(n.op), a);
  switch (n.op) {
    case FormulaOp::argument:
    case FormulaOp::constant: return Var();  // evaluate() has calculated them already
    case FormulaOp::add: return a + at(n.b);
    case FormulaOp::sub: return a - at(n.b);
    case FormulaOp::mul: return a * at(n.b);
    case FormulaOp::div: return a / at(n.b);
    case FormulaOp::negate: return -a;
    case FormulaOp::less: return less(a, at(n.b));
    // False for NaN, as < and == are.
    case FormulaOp::less_equal: return max(less(a, at(n.b)), equal(a, at(n.b)));
    case FormulaOp::equal: return equal(a, at(n.b));
    case FormulaOp::both: return min(a, at(n.b));
    case FormulaOp::either: return max(a, at(n.b));
    case FormulaOp::opposite: return 1.0 - a;
    case FormulaOp::select: return select(a, at(n.b), at(n.c));
    case FormulaOp::max: return max(a, at(n.b));
    case FormulaOp::min: return min(a, at(n.b));
    case FormulaOp::clamp: return min(max(a, at(n.b)), at(n.c));
    case FormulaOp::pow: return pow(a, at(n.b));
    case FormulaOp::function: break;
  }
  return Var();
}

std::vector<Tensor> Formula::evaluate(std::span<const Var> arguments) const {
  if (arguments.size() != static_cast<std::size_t>(arguments_)) {
    fail("formula",
         fmt::format("{} values were given for {} arguments", arguments.size(), arguments_));
  }
  const PauseRecording pause;
  std::vector<Var> values;
  for (const Node& node : nodes_) {
    if (node.op == FormulaOp::argument) {
      values.emplace_back(arguments[static_cast<std::size_t>(node.a)].value().cpu());
    } else if (node.op == FormulaOp::constant) {
      values.emplace_back(Tensor::full({}, node.constant, arguments[0].dtype()));
    } else {
      values.push_back(value(node, values));
    }
  }
  std::vector<Tensor> result;
  for (const Var& x : values) result.push_back(x.value());
  return result;
}

std::string Formula::gate(int part) const {
  const auto operations = std::count_if(parts_.begin(), parts_.end(), [](const FormulaPart& p) {
    return p.kind == FormulaPart::Kind::arithmetic || p.kind == FormulaPart::Kind::function;
  });
  return operations > 1 ? parts_[static_cast<std::size_t>(part)].text : "";
}

Formula::Bad Formula::first_non_finite(std::span<const Var> arguments,
                                       bool infinite_arguments) const {
  const std::vector<Tensor> tensors = evaluate(arguments);
  Shape shape;
  for (const Tensor& tensor : tensors) shape = broadcast("formula", shape, tensor.shape());
  std::vector<std::vector<double>> values;
  for (const Tensor& tensor : tensors) values.push_back(tensor.expand(shape).to_vector<double>());
  std::vector<int> order, depth;
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    const Node& n = nodes_[i];
    int deepest = 0;
    if (n.op != FormulaOp::argument) {
      for (const int operand : {n.a, n.b, n.c}) {
        if (operand >= 0) deepest = std::max(deepest, 1 + depth[static_cast<std::size_t>(operand)]);
      }
    }
    depth.push_back(deepest);
    order.push_back(static_cast<int>(i));
  }
  const auto place = [](int i) { return static_cast<std::size_t>(i); };
  std::sort(order.begin(), order.end(), [&](int a, int b) {
    const auto key = [&](int i) {
      const bool argument = nodes_[place(i)].op == FormulaOp::argument;
      return std::tuple(depth[place(i)], argument ? i : arguments_, parts_[place(i)].text);
    };
    return key(a) < key(b);
  });
  for (const int i : order) {
    const Node& n = nodes_[place(i)];
    if (n.op == FormulaOp::constant) continue;
    const std::vector<double>& own = values[place(i)];
    for (std::size_t e = 0; e < own.size(); ++e) {
      if (std::isfinite(own[e])) continue;
      bool made_here = std::isnan(own[e]) || n.op != FormulaOp::argument || infinite_arguments;
      if (n.op != FormulaOp::argument && !std::isnan(own[e])) {
        for (const int operand : {n.a, n.b, n.c}) {
          if (operand >= 0 && !std::isfinite(values[place(operand)][e])) made_here = false;
        }
      }
      if (made_here) return {i, static_cast<std::int64_t>(e), own[e]};
    }
  }
  return {};
}

}  // namespace tapeloop
