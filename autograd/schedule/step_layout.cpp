// SPDX-License-Identifier: MIT
// The sizes of a step's values, and their checks.
#include "tapeloop/autograd/schedule/step_layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <string_view>

#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop {

namespace {

// One more than the largest number of a predecessor of this kind.
int most_of(const StepLayout& layout, StepLayout::From kind) {
  int most = 0;
  for (const StepLayout::Value& v : layout.values) {
    if (v.from == kind) most = std::max(most, v.predecessor + 1);
  }
  return most;
}

}  // namespace

int StepLayout::predecessors() const { return most_of(*this, From::state); }
int StepLayout::edge_tables() const { return most_of(*this, From::edge_state); }

bool StepLayout::sums_edges_alone(int value) const {
  const Value& v = values[static_cast<std::size_t>(value)];
  return v.from == From::edge_sum && !operations[static_cast<std::size_t>(v.index)].add.given();
}

int StepLayout::state_value(int part, int predecessor) const {
  for (std::size_t v = 0; v < values.size(); ++v) {
    const Value& value = values[v];
    if (value.from == From::state && value.index == part && value.predecessor == predecessor) {
      return static_cast<int>(v);
    }
  }
  return -1;
}

std::string argument_name(const PointwiseKernel& kernel, int i) {
  std::string_view names = kernel.argument_names == nullptr ? "" : kernel.argument_names;
  for (int k = 0; k < i && !names.empty(); ++k) {
    const std::size_t space = names.find(' ');
    names = space == names.npos ? std::string_view() : names.substr(space + 1);
  }
  if (names.empty()) return fmt::format("argument {}", i);
  return std::string(names.substr(0, names.find(' ')));
}

namespace {

using From = StepLayout::From;

class Resolver {
 public:
  Resolver(StepLayout& layout, std::span<const Shape> weights, std::span<const Shape> units)
      : layout_(layout), weights_(weights), units_(units) {
    for (const StepLayout::Operation& op : layout.operations) {
      if (op.kernel != nullptr) name_ = op.kernel->name;
    }
  }

  [[noreturn]] void fail_with(const std::string& text) const {
    fail("recurrent", name_.empty() ? text : fmt::format("\"{}\": {}", name_, text));
  }

  void operation(StepLayout::Operation& op) {
    switch (op.kind) {
      case From::product: return product(op);
      case From::layer_norm: return layer_norm(op);
      case From::spread: columns(op.x); return result(op.result, op.x.size);
      case From::edge_sum: return edge_sum(op);
      default: return formula(op);
    }
  }

 private:
  StepLayout::Value& value(int i) const { return layout_.values[static_cast<std::size_t>(i)]; }

  void columns(StepLayout::Columns& c) const {
    if (!c.given()) return;
    const std::int64_t all = value(c.value).size;
    if (c.size < 0) c.size = all - c.first;
    if (c.first < 0 || c.size < 1 || c.first > all || c.size > all - c.first) {
      fail_with(fmt::format("{} columns from {} of {} are read, but it has {}", c.size, c.first,
                            what(c.value), all));
    }
  }

  void bias(int unit, std::int64_t size, const char* of) const {
    if (unit < 0) return;
    const Shape& shape = units_[static_cast<std::size_t>(value(unit).index)];
    if (shape != Shape{size}) {
      fail_with(fmt::format("the {} is {}, expected [{}]", of, shape.str(), size));
    }
  }

  void product(StepLayout::Operation& op) {
    std::int64_t size = -1, unit = 0;
    for (StepLayout::Term& term : op.terms) {
      columns(term.x);
      const Shape& w = weights_[static_cast<std::size_t>(term.weight)];
      if (size < 0) size = w.dim(0);
      if (term.groups > 1) {
        groups(term, w);
        unit = std::gcd(unit, term.group_size());
      }
      if (w != Shape{size, term.group_size()}) {
        fail_with(
            fmt::format("a weight is {}, expected [{}, {}]: it is multiplied with {}, which "
                        "has {} columns{}",
                        w.str(), size, term.group_size(), what(term.x.value), term.x.size,
                        term.groups > 1 ? fmt::format(" in {} groups", term.groups) : ""));
      }
    }
    if (unit > 0) value(op.result).unit = unit;
    columns(op.add);
    if (op.add.given() && op.add.size != size) {
      const bool input = value(op.add.value).from == From::input;
      fail_with(fmt::format("{} has {} columns, expected {}: those of the weight {}",
                            input ? "the input zx" : what(op.add.value), op.add.size, size,
                            weights_[static_cast<std::size_t>(op.terms[0].weight)].str()));
    }
    bias(op.bias, size, "bias of a product");
    result(op.result, size);
  }

  // Whether the groups divide the columns, and blocks of as many columns the rows of the weight.
  void groups(const StepLayout::Term& term, const Shape& w) const {
    const std::int64_t size = term.x.size;
    if (size % term.groups != 0) {
      fail_with(
          fmt::format("a product divides {} columns of {} into {} groups, which are not equal",
                      size, what(term.x.value), term.groups));
    }
    if (w.dim(0) % size != 0) {
      fail_with(
          fmt::format("a weight of a product in {} groups is {}, expected a multiple of {} "
                      "rows: as many as {} has columns, for each gate",
                      term.groups, w.str(), size, what(term.x.value)));
    }
  }

  void layer_norm(StepLayout::Operation& op) {
    columns(op.x);
    if (op.groups < 1 || op.x.size % op.groups != 0) {
      fail_with(fmt::format("layer norm divides {} columns into {} groups, which are not equal",
                            op.x.size, op.groups));
    }
    columns(op.add);
    if (op.add.given() && op.add.size != op.x.size) {
      fail_with(
          fmt::format("layer norm has {} columns and is added to {}", op.x.size, op.add.size));
    }
    bias(op.scale, op.x.size, "weight of a layer norm");
    bias(op.bias, op.x.size, "bias of a layer norm");
    result(op.result, op.x.size);
  }

  void edge_sum(StepLayout::Operation& op) {
    columns(op.x);
    columns(op.add);
    if (op.add.given() && op.add.size != op.x.size) {
      fail_with(fmt::format("a sum of edges has {} columns and is added to {} of {}", op.x.size,
                            op.add.size, what(op.add.value)));
    }
    result(op.result, op.x.size);
  }

  void formula(StepLayout::Operation& op) {
    std::int64_t total = 0;
    for (StepLayout::Columns& c : op.arguments) {
      columns(c);
      total += c.size;
    }
    const PointwiseKernel& kernel = *op.kernel;
    op.units = total / kernel.inputs;
    for (const StepLayout::Columns& c : op.arguments) {
      if (op.units < 1 || total % kernel.inputs != 0 || c.size % op.units != 0) {
        fail_arguments(kernel, op, total);
      }
      StepLayout::Value& v = value(c.value);
      const bool divides = v.size % op.units == 0 && c.first % op.units == 0;
      const bool state = v.from == From::state || v.from == From::edge_state;
      if (!state && v.unit < 0 && divides) v.unit = op.units;
    }
    for (int k = 0; k < kernel.outputs; ++k) {
      result(op.result + k, op.units);
      value(op.result + k).unit = op.units;
    }
  }

  [[noreturn]] void fail_arguments(const PointwiseKernel& kernel, const StepLayout::Operation& op,
                                   std::int64_t total) const {
    std::string given;
    for (const StepLayout::Columns& c : op.arguments) {
      given += fmt::format("{}{} from {}", given.empty() ? "" : ", ", c.size, what(c.value));
    }
    std::string names;
    for (int i = 0; i < kernel.inputs; ++i) {
      names += (i == 0 ? "" : " ") + argument_name(kernel, i);
    }
    fail("recurrent",
         fmt::format("\"{}\" takes {} arguments ({}) of equal width, but is given {} columns: {}; "
                     "give each argument the H columns of one gate or state part",
                     kernel.name, kernel.inputs, names, total, given));
  }

  void result(int i, std::int64_t size) const { value(i).size = size; }

  std::string what(int i) const {
    const StepLayout::Value& v = value(i);
    switch (v.from) {
      case From::input: return "the input";
      case From::state: return fmt::format("part {} of the state", v.index);
      case From::edge_state: return fmt::format("part {} of the state of an edge", v.index);
      case From::unit: return fmt::format("parameter {}", v.index);
      case From::extra: return fmt::format("extra value {}", v.index);
      case From::product: return "a product";
      case From::layer_norm: return "a layer norm";
      case From::formula: return "the result of a formula";
      case From::spread: return what(layout_.operations[static_cast<std::size_t>(v.index)].x.value);
      case From::edge_sum: return "a sum over edges";
    }
    return "a value";
  }

  StepLayout& layout_;
  std::span<const Shape> weights_, units_;
  std::string_view name_;  // no std::string: a long one would be on the heap
};

}  // namespace

void resolve(StepLayout& layout, std::int64_t input_size, std::span<const std::int64_t> state_sizes,
             std::span<const Shape> weights, std::span<const Shape> units,
             std::span<const Shape> extras) {
  Resolver resolver(layout, weights, units);
  for (StepLayout::Value& v : layout.values) {
    const auto i = static_cast<std::size_t>(v.index);
    if (v.from == From::input) v.size = input_size;
    if (v.from == From::state || v.from == From::edge_state) v.size = state_sizes[i];
    if (v.from == From::unit) v.size = units[i].dim(0);
    if (v.from == From::extra) v.size = extras[i].dim(extras[i].rank() - 1);
  }
  for (StepLayout::Operation& op : layout.operations) resolver.operation(op);
  for (std::size_t k = 0; k < layout.next.size(); ++k) {
    const StepLayout::Value& v = layout.values[static_cast<std::size_t>(layout.next[k])];
    if (v.size != state_sizes[k]) {
      resolver.fail_with(fmt::format("part {} of the state has {} columns, and the step makes {}",
                                     k, state_sizes[k], v.size));
    }
  }
  for (StepLayout::Value& v : layout.values) {
    if (v.unit < 0) v.unit = v.size;
  }
}

}  // namespace tapeloop
