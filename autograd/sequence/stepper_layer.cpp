// SPDX-License-Identifier: MIT
// Places the rows of a step in memory, packs its weights, and runs it.
#include "tapeloop/autograd/sequence/stepper_layer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "tapeloop/autograd/device/cpu/kernels.h"
#include "tapeloop/autograd/sequence/recurrent_run.h"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop {

namespace {

using From = StepLayout::From;

std::int64_t width() { return cpu::kernels().of<float>().panel_width; }
std::int64_t padded(std::int64_t n) { return (n + width() - 1) / width() * width(); }

void check_float(const char* what, const Tensor& tensor) {
  if (tensor.dtype() != DType::float32) {
    fail("stepper", fmt::format("{} is {}, expected float32; convert the model by "
                                "nn::convert(model, DType::float32)",
                                what, tensor.describe()));
  }
  if (!tensor.on_host()) {
    fail("stepper", fmt::format("{} is {}, expected it on the cpu; move the model by "
                                "nn::move(model, Device::cpu)",
                                what, tensor.describe()));
  }
}

void fill(float* to, const Tensor& from) {
  if (!from.defined()) return;
  const std::vector<float> values = from.to_vector<float>();
  std::copy(values.begin(), values.end(), to);
}

StepLayout checked(const StepperLayer& given) {
  const Recurrence& r = given.recurrence;
  if (!r.defined()) {
    fail("stepper",
         "a cell's recurrence() is undefined (it has step() only); step it by nn::step without a "
         "tape");
  }
  if (!given.w_in.defined() || given.w_in.rank() != 2 || given.w_in.dim(1) < 1) {
    fail("stepper", fmt::format("the input's weight is {}, expected [columns, I] with at least one "
                                "input",
                                given.w_in.defined() ? given.w_in.describe() : "undefined"));
  }
  const Shape bias{given.w_in.dim(0)};
  if (!given.b_in.defined() || given.b_in.shape() != bias) {
    fail("stepper",
         fmt::format("the input's bias is {}, expected {}",
                     given.b_in.defined() ? given.b_in.describe() : "undefined", bias.str()));
  }
  if (r.layout().predecessors() > 1 || r.layout().edge_tables() > 0 || !r.extras().empty()) {
    fail("stepper",
         fmt::format("\"{}\": a stream has one predecessor, no edges and no extra values",
                     r.name()));
  }
  check_float("the input's weight", given.w_in);
  check_float("the input's bias", given.b_in);
  for (const Var& w : r.weights()) check_float("a weight of the state", w.value());
  for (const Var& u : r.units()) check_float("a parameter of the step", u.value());
  Recurrence sized = r;
  sized.resolve(given.w_in.dim(0), given.state_sizes);
  return sized.layout();
}

}  // namespace

// Makes a buffer with room behind the row: a formula reads its last argument by whole registers.
float* Stepper::Layer::new_buffer(std::int64_t size) {
  buffers_.emplace_back(padded(size) + width());
  return buffers_.back().data();
}

// True if a step reads the old value of the part after this operation has begun to write the new.
bool Stepper::Layer::read_later(int part, std::size_t operation) const {
  const int state = layout_.state_value(part, 0);
  // A product writes its result in parts, while it reads its operands.
  const bool product = layout_.operations[operation].kind == From::product;
  const std::size_t first = product ? operation : operation + 1;
  for (std::size_t i = first; state >= 0 && i < layout_.operations.size(); ++i) {
    const StepLayout::Operation& op = layout_.operations[i];
    const auto reads = [&](const StepLayout::Columns& c) { return c.value == state; };
    if (std::any_of(op.arguments.begin(), op.arguments.end(), reads) || reads(op.x) ||
        (op.add.given() && reads(op.add)) ||
        std::any_of(op.terms.begin(), op.terms.end(),
                    [&](const StepLayout::Term& term) { return reads(term.x); })) {
      return true;
    }
  }
  return false;
}

Stepper::Layer::Layer(const StepperLayer& given, Weights format)
    : layout_(checked(given)),
      inputs_(given.w_in.dim(1)),
      rows_(layout_.values.size()),
      heads_(layout_.operations.size()) {
  place_states();
  for (std::size_t v = 0; v < rows_.size(); ++v) {
    const StepLayout::Value& value = layout_.values[v];
    if (value.from != From::unit) continue;
    rows_[v] = new_buffer(value.size);
    fill(rows_[v], given.recurrence.units()[static_cast<std::size_t>(value.index)].value());
  }
  add_input(given, format);
  for (std::size_t i = 0; i < layout_.operations.size(); ++i) {
    const StepLayout::Operation& op = layout_.operations[i];
    const int results = op.kind == From::formula ? op.kernel->outputs : 1;
    for (int v = op.result; v < op.result + results; ++v) {
      const int part = layout_.values[static_cast<std::size_t>(v)].part;
      float*& place = rows_[static_cast<std::size_t>(v)];
      if (part >= 0 && !read_later(part, i)) {
        place = parts_[static_cast<std::size_t>(part)].data;
        continue;
      }
      place = new_buffer(size(v));
      if (part < 0) continue;
      next_.push_back({place, parts_[static_cast<std::size_t>(part)].data,
                       static_cast<std::size_t>(size(v)) * sizeof(float)});
    }
    switch (op.kind) {
      case From::product: add_product(op, given, format); break;
      case From::layer_norm: add_norm(op); break;
      default: add_formula(op);
    }
  }
}

// A part of the state that is the first operand of a product stands where the product reads it; the
// other operands are copied in behind it.
void Stepper::Layer::place_states() {
  for (int k = 0; k < layout_.parts(); ++k) {
    const std::int64_t columns = size(layout_.next[static_cast<std::size_t>(k)]);
    const int state = layout_.state_value(k, 0);
    float* place = nullptr;
    for (std::size_t i = 0; i < heads_.size() && place == nullptr && state >= 0; ++i) {
      const StepLayout::Operation& op = layout_.operations[i];
      if (op.kind != From::product || op.terms[0].groups > 1 || op.terms[0].x.value != state ||
          op.terms[0].x.first != 0 || op.terms[0].x.size != columns) {
        continue;
      }
      heads_[i] = place = new_buffer(std::max(operands_of(op), padded(columns)));
    }
    if (place == nullptr) place = new_buffer(columns);
    parts_.push_back({place, columns});
    if (state >= 0) rows_[static_cast<std::size_t>(state)] = place;
  }
}

// The most columns that a product joins: those of its terms that have no groups, and x.
std::int64_t Stepper::Layer::operands_of(const StepLayout::Operation& op) const {
  std::int64_t operands = inputs_;
  for (const StepLayout::Term& term : op.terms) operands += term.groups > 1 ? 0 : term.x.size;
  return operands;
}

// Projects x, unless the products of the step do so together with their other operands.
void Stepper::Layer::add_input(const StepperLayer& given, Weights format) {
  int input = -1;
  for (std::size_t v = 0; v < rows_.size(); ++v) {
    if (layout_.values[v].from == From::input) input = static_cast<int>(v);
  }
  if (input < 0 || detail::input_is_added(layout_)) return;
  Work work{};
  work.kind = From::product;
  work.size = size(input);
  work.weights = cpu::RowWeights(std::array{given.w_in}, format);
  float* const operand = new_buffer(inputs_);
  float* const bias = new_buffer(work.size);
  fill(bias, given.b_in);
  work.operand = operand;
  work.copies.push_back({nullptr, operand, static_cast<std::size_t>(inputs_) * sizeof(float)});
  work.init = bias;
  work.result = rows_[static_cast<std::size_t>(input)] = new_buffer(work.size);
  work_.push_back(std::move(work));
}

void Stepper::Layer::add_product(const StepLayout::Operation& op, const StepperLayer& given,
                                 Weights format) {
  Work work{};
  work.kind = From::product;
  work.size = size(op.result);
  work.result = row(op.result);
  const auto index = static_cast<std::size_t>(&op - layout_.operations.data());
  std::vector<Tensor> matrices;
  float* const operand = heads_[index] != nullptr ? heads_[index] : new_buffer(operands_of(op));
  float* at = operand;
  for (const StepLayout::Term& term : op.terms) {
    if (term.groups > 1) continue;
    matrices.push_back(given.recurrence.weights()[static_cast<std::size_t>(term.weight)].value());
    if (row(term.x) != at) {
      work.copies.push_back(
          {row(term.x), at, static_cast<std::size_t>(term.x.size) * sizeof(float)});
    }
    at += term.x.size;
  }
  float* const bias = new_buffer(work.size);
  const bool whole = detail::input_is_added(layout_);
  if (whole && detail::in_input_columns(layout_, op)) {
    const std::int64_t first = op.add.first, end = first + op.add.size;
    matrices.push_back(given.w_in.slice(0, first, end));
    work.copies.push_back({nullptr, at, static_cast<std::size_t>(inputs_) * sizeof(float)});
    fill(bias, given.b_in.slice(0, first, end));
  } else if (op.add.given()) {
    work.add = row(op.add);
  }
  if (op.bias >= 0) {
    for (std::int64_t j = 0; j < work.size; ++j) bias[j] += row(op.bias)[j];
  }
  if (!matrices.empty()) work.weights = cpu::RowWeights(matrices, format);
  work.operand = operand;
  work.init = bias;
  work_.push_back(std::move(work));
  for (const StepLayout::Term& term : op.terms) {
    if (term.groups > 1) add_groups(op, term, given, format);
  }
}

// A product for each group of each block of rows, added to the result. It writes whole registers:
// those after its own columns keep their numbers, or are written by the next one.
void Stepper::Layer::add_groups(const StepLayout::Operation& op, const StepLayout::Term& term,
                                const StepperLayer& given, Weights format) {
  const Tensor w = given.recurrence.weights()[static_cast<std::size_t>(term.weight)].value();
  const std::int64_t group = term.group_size();
  for (std::int64_t first = 0; first < w.dim(0); first += group) {
    Work work{};
    work.kind = From::product;
    work.size = group;
    work.weights = cpu::RowWeights(std::array{w.slice(0, first, first + group)}, format);
    work.operand = row(term.x) + first % term.x.size;
    work.init = work.result = row(op.result) + first;
    work_.push_back(std::move(work));
  }
}

void Stepper::Layer::add_norm(const StepLayout::Operation& op) {
  Work work{};
  work.kind = From::layer_norm;
  const auto row_or_null = [&](int v) { return v < 0 ? nullptr : row(v); };
  work.x = row(op.x);
  work.norm = {op.x.size,
               op.groups,
               op.epsilon,
               row_or_null(op.scale),
               row_or_null(op.bias),
               op.add.given() ? row(op.add) : nullptr};
  work.result = row(op.result);
  work_.push_back(std::move(work));
}

void Stepper::Layer::add_formula(const StepLayout::Operation& op) {
  Work work{};
  work.kind = From::formula;
  work.kernel = op.kernel;
  work.formula = op.formula;
  for (const StepLayout::Columns& c : op.arguments) {
    for (std::int64_t at = 0; at < c.size; at += op.units) work.operands.push_back(row(c) + at);
  }
  for (int k = 0; k < op.kernel->outputs; ++k) work.operands.push_back(row(op.result + k));
  work.steps.assign(work.operands.size(), 1);
  work.count = padded(op.units);
  work_.push_back(std::move(work));
}

void detail::normalise(const StepNorm& norm, const float* x, float* y) noexcept {
  const auto& kernels = cpu::kernels().of<float>();
  const std::int64_t columns = norm.size / norm.groups;
  for (std::int64_t first = 0; first < norm.size; first += columns) {
    const auto at = [&](const float* row) { return row == nullptr ? nullptr : row + first; };
    kernels.normalise_row(
        {columns, x + first, at(norm.scale), at(norm.bias), at(norm.add), y + first},
        kernels.row_moments(x + first, columns, norm.epsilon));
  }
}

const float* Stepper::Layer::step(const float* x, bool backwards) noexcept {
  for (const Work& work : work_) {
    for (const Copy& copy : work.copies) {
      std::memcpy(copy.to, copy.from == nullptr ? x : copy.from, copy.bytes);
    }
    switch (work.kind) {
      case From::product:
        if (work.weights.defined()) {
          work.weights.multiply(work.operand, work.init, work.result, backwards);
        } else {
          std::copy_n(work.init, work.size, work.result);
        }
        for (std::int64_t j = 0; work.add != nullptr && j < work.size; ++j) {
          work.result[j] += work.add[j];
        }
        break;
      case From::layer_norm: detail::normalise(work.norm, work.x, work.result); break;
      default:
        work.kernel->cpu[0](work.formula.bytes, work.operands.data(), work.steps.data(),
                            work.count);
    }
  }
  for (const Copy& copy : next_) std::memcpy(copy.to, copy.from, copy.bytes);
  return parts_[0].data;
}

std::int64_t Stepper::Layer::bytes() const {
  std::int64_t floats = 0, of_weights = 0;
  for (const Buffer& buffer : buffers_) floats += buffer.size();
  for (const Work& work : work_) of_weights += work.weights.bytes();
  return of_weights + floats * static_cast<std::int64_t>(sizeof(float));
}

}  // namespace tapeloop
