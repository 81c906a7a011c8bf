// SPDX-License-Identifier: MIT
// Makes the layout of a step from its sources.
#include "tapeloop/autograd/sequence/recurrence.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>

#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop {

using From = StepLayout::From;
using of::Source;

namespace {

[[noreturn]] void fail_with(const std::string& text) { fail("recurrence", text); }

const char* kTooMany = "a step has at most 16 weights; put weights with the same operand into one";
constexpr std::size_t kMostWeights = 16;
const char* kMixedSum =
    "a sum has a value with a row for each edge and one with a row for each node; give them to the "
    "formula one by one";

}  // namespace

int Recurrence::new_value(From from, bool by_edge) {
  StepLayout::Value value;
  value.from = from;
  value.index = static_cast<int>(layout_.operations.size());
  value.by_edge = by_edge;
  layout_.values.push_back(value);
  return static_cast<int>(layout_.values.size()) - 1;
}

StepLayout::Columns Recurrence::add_operation(StepLayout::Operation operation, bool by_edge) {
  const int result = operation.result = new_value(operation.kind, by_edge);
  layout_.operations.push_back(std::move(operation));
  return {result, 0, -1};
}

bool Recurrence::by_edge(const StepLayout::Columns& x) const {
  return x.given() && layout_.values[static_cast<std::size_t>(x.value)].by_edge;
}

StepLayout::Columns Recurrence::on_edges(StepLayout::Columns x) {
  const StepLayout::Value& value = layout_.values[static_cast<std::size_t>(x.value)];
  if (value.by_edge || value.from == From::unit) return x;
  for (const StepLayout::Operation& op : layout_.operations) {
    if (op.kind == From::spread && op.x.value == x.value && op.x.first == x.first &&
        op.x.size == x.size) {
      return {op.result, 0, -1};
    }
  }
  StepLayout::Operation op;
  op.kind = From::spread;
  op.x = x;
  return add_operation(std::move(op), true);
}

int Recurrence::given(From from, int index, int predecessor) {
  for (std::size_t v = 0; v < layout_.values.size(); ++v) {
    const StepLayout::Value& value = layout_.values[v];
    if (value.from == from && value.index == index && value.predecessor == predecessor) {
      return static_cast<int>(v);
    }
  }
  StepLayout::Value value;
  value.from = from;
  value.index = index;
  value.predecessor = predecessor;
  value.by_edge = from == From::edge_state;
  layout_.values.push_back(value);
  return static_cast<int>(layout_.values.size()) - 1;
}

int Recurrence::unit_of(const Var& parameter) {
  if (!parameter.defined()) return -1;
  if (parameter.rank() != 1) {
    fail_with(fmt::format("a parameter of a step is {}, expected [H], or [G*H] for G arguments",
                          parameter.shape().str()));
  }
  for (std::size_t i = 0; i < units_.size(); ++i) {
    if (units_[i].body() == parameter.body()) return given(From::unit, static_cast<int>(i), 0);
  }
  units_.push_back(parameter);
  return given(From::unit, static_cast<int>(units_.size()) - 1, 0);
}

StepLayout::Columns Recurrence::columns_of(const Source& source) {
  using Kind = Source::Kind;
  StepLayout::Columns result{-1, source.first, source.size};
  switch (source.kind) {
    case Kind::input: result.value = given(From::input, 0, 0); break;
    case Kind::state:
    case Kind::edge_state: {
      const bool edge = source.kind == Kind::edge_state;
      if (source.index < 0 || source.predecessor < 0 || source.index > 63 ||
          source.predecessor > 63) {
        fail_with(fmt::format("of::{}state({}, {}): expected numbers from 0 to 63",
                              edge ? "edge_" : "", source.index, source.predecessor));
      }
      result.value = given(edge ? From::edge_state : From::state, source.index, source.predecessor);
      break;
    }
    case Kind::unit:
      if (!source.var.defined()) {
        fail_with("of::unit() was given an undefined parameter; expected [H]");
      }
      result.value = unit_of(source.var);
      break;
    case Kind::extra:
      extras_.push_back(source.var.value());
      result.value = given(From::extra, static_cast<int>(extras_.size()) - 1, 0);
      break;
    case Kind::made:
      if (source.maker == 0 || source.maker != maker_) {
        fail_with(
            "a source is the value of another Recurrence; calculate it in this one, by stage() or "
            "value()");
      }
      result.value = source.index;
      break;
    case Kind::layer_norm: result.value = norm_of(source, {}).value; break;
    case Kind::edge_sum: result.value = edge_sum_of(source, {}).value; break;
    default: result.value = sum_of(source).value;
  }
  return result;
}

// A product or a layer norm of a parameter is the same for all rows.
void Recurrence::refuse_parameter(const StepLayout::Columns& x) const {
  if (layout_.values[static_cast<std::size_t>(x.value)].from != From::unit) return;
  fail_with(
      "a product or a layer norm reads of::unit(), which is the same for all rows; calculate "
      "it before the sequence, and give the result as of::unit()");
}

void Recurrence::check_weights() const {
  if (weights_.size() > kMostWeights) fail_with(kTooMany);
}

void Recurrence::add_term(StepLayout::Operation& product, const Source& source,
                          StepLayout::Columns x) {
  const Var& w = source.var;
  if (!w.defined() || w.rank() != 2 || w.dim(0) < 1 || w.dim(1) < 1) {
    fail_with(
        fmt::format("of::product() was given a weight {}, expected [G*H, H], the weights of G "
                    "gates",
                    w.defined() ? w.shape().str() : "that is undefined"));
  }
  if (source.bias.defined()) {
    if (product.bias >= 0) fail_with("a sum has two products with a bias; add the biases first");
    product.bias = unit_of(source.bias);
  }
  refuse_parameter(x);
  weights_.push_back(w);
  check_weights();
  product.terms.push_back({static_cast<int>(weights_.size()) - 1, x, source.groups});
}

StepLayout::Columns Recurrence::norm_of(const Source& source, StepLayout::Columns add) {
  StepLayout::Operation op;
  op.kind = From::layer_norm;
  op.x = columns_of(source.parts[0]);
  refuse_parameter(op.x);
  op.add = add;
  if (by_edge(op.x) || by_edge(add)) {
    op.x = on_edges(op.x);
    if (add.given()) op.add = on_edges(add);
  }
  op.scale = unit_of(source.scale);
  op.bias = unit_of(source.bias);
  op.groups = source.groups;
  op.epsilon = source.epsilon;
  const bool edges = by_edge(op.x);
  return add_operation(std::move(op), edges);
}

StepLayout::Columns Recurrence::edge_sum_of(const Source& source, StepLayout::Columns add) {
  StepLayout::Operation op;
  op.kind = From::edge_sum;
  op.x = columns_of(source.parts[0]);
  op.mean = source.mean;
  op.add = add;
  if (!by_edge(op.x)) {
    fail_with(
        fmt::format("of::{}_of_edges() was given a value with a row for each node; give it "
                    "of::edge_state(), or what a formula or a product made of it",
                    source.mean ? "mean" : "sum"));
  }
  if (by_edge(add)) fail_with(kMixedSum);
  return add_operation(std::move(op), false);
}

// One product with all terms. If some terms have rows of nodes and some rows of edges: a product of
// the former, and then one of the latter.
StepLayout::Columns Recurrence::products_of(std::span<const Source> terms,
                                            StepLayout::Columns add) {
  StepLayout::Operation nodes, edges;
  nodes.kind = edges.kind = From::product;
  for (const Source& term : terms) {
    if (term.kind != Source::Kind::product) continue;
    const StepLayout::Columns x = columns_of(term.parts[0]);
    add_term(by_edge(x) ? edges : nodes, term, x);
  }
  if (!nodes.terms.empty()) {
    if (by_edge(add)) fail_with(kMixedSum);
    nodes.add = add;
    add = add_operation(std::move(nodes), false);
  }
  if (edges.terms.empty()) return add;
  if (add.given()) edges.add = on_edges(add);
  return add_operation(std::move(edges), true);
}

// Operations that add their results to each other: products, sums of edges, a layer norm.
StepLayout::Columns Recurrence::sum_of(const Source& source) {
  using Kind = Source::Kind;
  const std::span<const Source> terms =
      source.kind == Kind::sum ? std::span<const Source>(source.parts) : std::span(&source, 1);
  StepLayout::Columns sum;
  const Source* norm = nullptr;
  bool operations = false;
  for (const Source& term : terms) {
    if (term.kind == Kind::product || term.kind == Kind::edge_sum) {
      if (term.first != 0 || term.size >= 0) {
        fail_with("a product in a sum is read whole; take the columns of the sum");
      }
      operations = true;
      continue;
    }
    if (term.kind == Kind::layer_norm && norm == nullptr) {
      norm = &term;
      continue;
    }
    if (sum.given()) {
      fail_with(
          "a sum has two terms such as an input and a state; besides products, sums of edges and "
          "one layer norm it may have one: give the terms to the formula one by one");
    }
    sum = columns_of(term);
  }
  if (!operations && norm == nullptr) {
    fail_with("a sum has no product; give its terms to the formula one by one");
  }
  if (operations) sum = products_of(terms, sum);
  for (const Source& term : terms) {
    if (term.kind == Kind::edge_sum) sum = edge_sum_of(term, sum);
  }
  return norm == nullptr ? sum : norm_of(*norm, sum);
}

const StepLayout::Operation& Recurrence::add_formula(const PointwiseKernel& kernel,
                                                     const detail::FormulaBytes& formula,
                                                     std::span<const Source* const> arguments) {
  StepLayout::Operation op;
  op.kind = From::formula;
  op.kernel = &kernel;
  op.formula = formula;
  op.arguments.reserve(arguments.size());
  for (const Source* argument : arguments) op.arguments.push_back(columns_of(*argument));
  const bool edges = std::any_of(op.arguments.begin(), op.arguments.end(),
                                 [&](const StepLayout::Columns& c) { return by_edge(c); });
  if (edges) {
    for (StepLayout::Columns& c : op.arguments) c = on_edges(c);
  }
  op.result = new_value(From::formula, edges);
  for (int k = 1; k < kernel.outputs; ++k) new_value(From::formula, edges);
  return layout_.operations.emplace_back(std::move(op));
}

// One formula, whose results are the next state.
void Recurrence::set_only_formula(const PointwiseKernel& kernel,
                                  const detail::FormulaBytes& formula,
                                  std::span<const Source* const> arguments) {
  layout_.values.reserve(8);  // enough for most
  layout_.operations.reserve(2);
  layout_.next.reserve(static_cast<std::size_t>(kernel.outputs));
  const int first = add_formula(kernel, formula, arguments).result;
  for (int k = 0; k < kernel.outputs; ++k) take_as_part({first + k, 0, -1});
  check_parts();
}

of::Results Recurrence::results_of(const StepLayout::Operation& formula) {
  of::Results results;
  const int count = formula.kernel->outputs;
  results.reserve(static_cast<std::size_t>(count));
  for (int k = 0; k < count; ++k) results.push_back(made({formula.result + k, 0, -1}));
  return results;
}

Source Recurrence::made(const StepLayout::Columns& columns) {
  static std::atomic<std::uint64_t> makers{0};
  if (maker_ == 0) maker_ = 1 + makers.fetch_add(1, std::memory_order_relaxed);
  Source result;
  result.kind = Source::Kind::made;
  result.maker = maker_;
  result.index = columns.value;
  result.first = columns.first;
  result.size = columns.size;
  return result;
}

Source Recurrence::value(const Source& source) { return made(columns_of(source)); }

void Recurrence::next(std::span<const Source> parts) {
  layout_.next.clear();
  for (StepLayout::Value& value : layout_.values) value.part = -1;
  for (const Source& part : parts) take_as_part(columns_of(part));
  check_parts();
}

void Recurrence::take_as_part(const StepLayout::Columns& part) {
  StepLayout::Value& value = layout_.values[static_cast<std::size_t>(part.value)];
  if (value.by_edge) {
    fail_with(
        fmt::format("part {} of the next state has a row for each edge; bring it to the nodes by "
                    "of::sum_of_edges() or of::mean_of_edges()",
                    layout_.next.size()));
  }
  if (value.from <= From::extra || part.first != 0 || part.size >= 0 || value.part >= 0) {
    fail_with(
        fmt::format("part {} of the next state must be the whole result of a formula, a "
                    "product, a layer norm or a sum of edges, and no value may be two parts",
                    layout_.next.size()));
  }
  value.part = static_cast<int>(layout_.next.size());
  layout_.next.push_back(part.value);
}

void Recurrence::check_parts() const {
  if (layout_.next.empty() || layout_.next.size() > 8) {
    fail_with(fmt::format("the next state has {} parts, expected 1 to 8", layout_.next.size()));
  }
}

PoolVector<Source> Recurrence::next_parts() {
  PoolVector<Source> result;
  for (const int v : layout_.next) result.push_back(made({v, 0, -1}));
  return result;
}

const char* Recurrence::name() const {
  const char* result = "recurrence";
  for (const StepLayout::Operation& op : layout_.operations) {
    if (op.kernel != nullptr) result = op.kernel->name;
  }
  return result;
}

void Recurrence::resolve(std::int64_t input_size, std::span<const std::int64_t> state_sizes) {
  if (state_sizes.size() != static_cast<std::size_t>(parts())) {
    fail("recurrent", fmt::format("\"{}\": {} sizes of parts of the state were given, expected {}",
                                  name(), state_sizes.size(), parts()));
  }
  PoolVector<Shape> weights, units, extras;
  weights.reserve(weights_.size());
  units.reserve(units_.size());
  for (const Var& w : weights_) weights.push_back(w.shape());
  for (const Var& u : units_) units.push_back(u.shape());
  for (const Tensor& x : extras_) extras.push_back(x.shape());
  for (const StepLayout::Value& value : layout_.values) {
    const bool state = value.from == From::state || value.from == From::edge_state;
    if (state && value.index >= parts()) {
      fail("recurrent", fmt::format("\"{}\" reads part {} of the state, but makes {} parts", name(),
                                    value.index, parts()));
    }
  }
  tapeloop::resolve(layout_, input_size, state_sizes, weights, units, extras);
}

}  // namespace tapeloop
