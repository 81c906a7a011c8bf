// SPDX-License-Identifier: MIT
// The operations of the op_* cases of tests/reference, by the names of their outputs; inputs are x,
// y, a, b, ... Names contain settings: sum12 reduces axes 1 and 2, sum_all all; leaky_relu_0p1 has
// slope 0.1, clamp_m1_1 bounds -1, 1.
#pragma once

#include <sstream>

#include "tests/nn/reference/case.h"

namespace reference {

using Operation = Var (*)(Case& c);

namespace ops {

inline Var x(Case& c) { return c.var("input.x"); }
inline Var y(Case& c) { return c.var("input.y"); }
inline Var in(Case& c, const char* name) { return c.var(std::string("input.") + name); }

using Unary = Var (*)(const Var&);
inline const std::map<std::string, Unary>& unary() {
  static const std::map<std::string, Unary> table = {
      {"exp", exp},
      {"log", log},
      {"log1p", log1p},
      {"sqrt", sqrt},
      {"square", square},
      {"abs", abs},
      {"sin", sin},
      {"cos", cos},
      {"erf", erf},
      {"tanh", tanh},
      {"sigmoid", sigmoid},
      {"softplus", softplus},
      {"relu", relu},
      {"gelu", gelu},
      {"gelu_erf", gelu},
      {"silu", silu},
      {"sign", sign},
      {"neg", [](const Var& v) { return -v; }},
      {"reciprocal", [](const Var& v) { return 1.0 / v; }},
      {"rsqrt", [](const Var& v) { return 1.0 / sqrt(v); }},
      {"softmax", [](const Var& v) { return softmax(v); }},
      {"log_softmax", [](const Var& v) { return log_softmax(v); }},
      {"logsumexp", [](const Var& v) { return logsumexp(v, {-1}); }},
  };
  return table;
}

// Functions with settings: the numbers after the name.
using WithNumbers = Var (*)(const Var&, const std::vector<double>&);
inline const std::map<std::string, WithNumbers>& with_numbers() {
  static const std::map<std::string, WithNumbers> table = {
      {"leaky_relu",
       [](const Var& v, const std::vector<double>& n) {
         return leaky_relu(v, n.empty() ? 0.01 : n[0]);
       }},
      {"elu",
       [](const Var& v, const std::vector<double>& n) { return elu(v, n.empty() ? 1.0 : n[0]); }},
      {"clamp",
       [](const Var& v, const std::vector<double>& n) { return clamp(v, n.at(0), n.at(1)); }},
      {"pow", [](const Var& v, const std::vector<double>& n) { return pow(v, n.at(0)); }},
  };
  return table;
}

using Binary = Var (*)(const Var&, const Var&);
inline const std::map<std::string, Binary>& binary() {
  static const std::map<std::string, Binary> table = {
      {"add", [](const Var& a, const Var& b) { return a + b; }},
      {"sub", [](const Var& a, const Var& b) { return a - b; }},
      {"mul", [](const Var& a, const Var& b) { return a * b; }},
      {"div", [](const Var& a, const Var& b) { return a / b; }},
      {"pow", [](const Var& a, const Var& b) { return pow(a, b); }},
      {"max", [](const Var& a, const Var& b) { return max(a, b); }},
      {"maximum", [](const Var& a, const Var& b) { return max(a, b); }},
      {"min", [](const Var& a, const Var& b) { return min(a, b); }},
      {"minimum", [](const Var& a, const Var& b) { return min(a, b); }},
  };
  return table;
}

// Reductions over the axes that follow the name, such as sum0, mean12, max2.
using Reducing = Var (*)(const Var&, std::span<const int>);
inline Var variance(const Var& v, std::span<const int> axes) { return var(v, axes, 1); }
inline Var variance_biased(const Var& v, std::span<const int> axes) { return var(v, axes, 0); }
inline const std::map<std::string, Reducing>& reducing() {
  static const std::map<std::string, Reducing> table = {
      {"sum", [](const Var& v, std::span<const int> axes) { return sum(v, axes); }},
      {"mean", [](const Var& v, std::span<const int> axes) { return mean(v, axes); }},
      {"max", [](const Var& v, std::span<const int> axes) { return max(v, axes); }},
      {"amax", [](const Var& v, std::span<const int> axes) { return max(v, axes); }},
      {"min", [](const Var& v, std::span<const int> axes) { return min(v, axes); }},
      {"amin", [](const Var& v, std::span<const int> axes) { return min(v, axes); }},
      {"logsumexp", [](const Var& v, std::span<const int> axes) { return logsumexp(v, axes); }},
      {"var", variance},
      {"var_unbiased", variance},
      {"var_biased", variance_biased},
      {"std", [](const Var& v, std::span<const int> axes) { return sqrt(variance(v, axes)); }},
      {"std_unbiased",
       [](const Var& v, std::span<const int> axes) { return sqrt(variance(v, axes)); }},
      {"std_biased",
       [](const Var& v, std::span<const int> axes) { return sqrt(variance_biased(v, axes)); }},
  };
  return table;
}

// Operations whose names do not say everything.
inline const std::map<std::string, Operation>& named() {
  static const std::map<std::string, Operation> table = {
      // broadcasting
      {"op_broadcast/add", [](Case& c) { return in(c, "a") + in(c, "b"); }},
      {"op_broadcast/sub", [](Case& c) { return in(c, "a") - in(c, "b"); }},
      {"op_broadcast/mul", [](Case& c) { return in(c, "a") * in(c, "b") * in(c, "c"); }},
      {"op_broadcast/div", [](Case& c) { return (in(c, "a") - in(c, "c")) / in(c, "d"); }},
      {"op_broadcast/chain",
       [](Case& c) { return sum(in(c, "a") * in(c, "b") + in(c, "d"), {1}, true) * in(c, "b"); }},
      // reductions along one axis, or of everything
      {"op_reduce/norm", [](Case& c) { return norm(x(c)); }},
      {"op_reduce/prod", [](Case& c) { return prod(x(c), -1); }},
      {"op_reduce/cumsum", [](Case& c) { return cumsum(x(c), 1); }},
      // shapes
      {"op_shape/cat",
       [](Case& c) {
         return concat({x(c), y(c)}, 1);
       }},
      {"op_shape/stack",
       [](Case& c) {
         return stack({y(c), y(c) * 2.0});
       }},
      {"op_shape/expand",
       [](Case& c) {
         return expand(insert_axis(y(c), 1), {y(c).dim(0), 3, y(c).dim(1)});
       }},
      {"op_shape/flip", [](Case& c) { return flip(x(c), 1); }},
      {"op_shape/slice", [](Case& c) { return slice(slice(x(c), 0, 1, 3), 1, 0, 6, 2); }},
      {"op_shape/split0", [](Case& c) { return slice(x(c), 1, 0, 2); }},
      {"op_shape/split1",
       [](Case& c) {
         return split(x(c), std::array<std::int64_t, 2>{2, 4}, 1)[1];
       }},
      {"op_shape/transpose", [](Case& c) { return transpose(x(c)); }},
      {"op_shape/permute",
       [](Case& c) {
         return permute(x(c), {1, 0});
       }},
      {"op_shape/tril", [](Case& c) { return tril(x(c)); }},
      {"op_shape/reshape",
       [](Case& c) {
         return reshape(x(c), {3, 8});
       }},
      {"op_shape/where",
       [](Case& c) { return select(less(Var(c.full({}, 0)), x(c)), x(c), x(c) * 3.0); }},
      {"op_shape/gather", [](Case& c) { return gather(x(c), c.tensor("input.gather_index"), 1); }},
      {"op_shape/index_select", [](Case& c) { return take(x(c), c.tensor("input.index"), 0); }},
      // products
      {"op_matmul/ab", [](Case& c) { return matmul(in(c, "a"), in(c, "b")); }},
      {"op_matmul/aTa", [](Case& c) { return matmul(transpose(in(c, "a")), in(c, "a")); }},
      {"op_matmul/aaT", [](Case& c) { return matmul(in(c, "a"), transpose(in(c, "a"))); }},
      {"op_matmul/av", [](Case& c) { return matmul(in(c, "a"), in(c, "v")); }},
      {"op_matmul/vb", [](Case& c) { return matmul(in(c, "v"), in(c, "b")); }},
      {"op_matmul/vv", [](Case& c) { return matmul(in(c, "v"), in(c, "v")); }},
      {"op_matmul/bmm", [](Case& c) { return matmul(in(c, "p"), in(c, "q")); }},
      {"op_matmul/bcast", [](Case& c) { return matmul(in(c, "p"), in(c, "r")); }},
  };
  return table;
}

// "leaky_relu_0p1" -> 0.1: p is the decimal point, m the sign. False if the rest is not a list of
// numbers.
inline bool numbers_after(const std::string& name, const std::string& function,
                          std::vector<double>& numbers) {
  if (name.rfind(function, 0) != 0) return false;
  std::istringstream rest(name.substr(function.size()));
  std::string word;
  while (std::getline(rest, word, '_')) {
    if (word.empty()) continue;
    for (char& letter : word) letter = letter == 'p' ? '.' : letter == 'm' ? '-' : letter;
    if (word.find_first_not_of("-.0123456789") != std::string::npos) return false;
    numbers.push_back(std::strtod(word.c_str(), nullptr));
  }
  return true;
}

}  // namespace ops

// The operation's result. Throws Unknown if the name is unknown.
inline Var operation(Case& c, const std::string& name) {
  using namespace ops;
  if (auto found = named().find(c.name() + "/" + name); found != named().end())
    return found->second(c);
  // f(x); or f_x and f_y for f of that input.
  if (auto found = unary().find(name); found != unary().end()) return found->second(x(c));
  std::size_t split_at = name.rfind('_');
  if (split_at != std::string::npos) {
    std::string function = name.substr(0, split_at);
    std::string argument = name.substr(split_at + 1);
    auto found = unary().find(function);
    if (found != unary().end() && c.has("input." + argument))
      return found->second(c.var("input." + argument));
  }
  for (const auto& [function, compute] : with_numbers()) {
    std::vector<double> numbers;
    if (numbers_after(name, function, numbers)) return compute(x(c), numbers);
  }
  for (const auto& [function, compute] : binary()) {
    if (name == "x_" + function + "_y" || name == function + "_xy" || name == function + "_x_y") {
      return compute(x(c), y(c));
    }
    if (name == "y_" + function + "_x" || name == function + "_yx" || name == function + "_y_x") {
      return compute(y(c), x(c));
    }
  }
  for (const auto& [function, compute] : reducing()) {
    if (name.rfind(function, 0) != 0) continue;
    std::string rest = name.substr(function.size());
    if (rest == "_all")
      rest = std::string("012345").substr(0, static_cast<std::size_t>(x(c).rank()));
    std::vector<int> axes;
    for (char digit : rest) axes.push_back(digit - '0');
    if (rest.find_first_not_of("0123456789") != std::string::npos) continue;
    if (axes.empty()) axes.push_back(-1);
    return compute(x(c), axes);
  }
  throw Unknown("output " + name);
}

inline Outputs operations(Case& c) {
  Outputs result;
  for (const std::string& name : c.names("output.")) {
    const bool derivative = name.starts_with("grad_") || name.starts_with("hvp_");
    if (name != "loss" && !derivative) result[name] = operation(c, name);
  }
  return result;
}

}  // namespace reference
