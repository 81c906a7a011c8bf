// SPDX-License-Identifier: MIT
// Reads a LevelRun as a plain batch of sequences.
#include "tapeloop/autograd/device/cuda/recurrent/sequence.h"

namespace tapeloop::cuda {
namespace {

using From = StepLayout::From;

const StepLayout::Value& value_of(const StepLayout& step, int v) {
  return step.values[static_cast<std::size_t>(v)];
}
bool whole(const StepLayout& step, const StepLayout::Columns& c) {
  return c.first == 0 && c.size == value_of(step, c.value).size;
}

// The parts of a step of one product and one formula; false if it is another step.
struct PlainStep {
  const StepLayout::Operation* product;
  const StepLayout::Operation* formula;
  bool apart, takes_h;
};
std::optional<PlainStep> plain_step(const StepLayout& step) {
  if (step.operations.size() != 2) return {};
  const StepLayout::Operation &product = step.operations[0], &formula = step.operations[1];
  if (product.kind != From::product || formula.kind != From::formula) return {};
  if (product.terms.size() != 1 || product.terms[0].groups != 1) return {};
  if (!whole(step, product.terms[0].x)) return {};
  const StepLayout::Value& operand = value_of(step, product.terms[0].x.value);
  if (operand.from != From::state || operand.index != 0 || operand.size != formula.units) return {};
  const bool added = product.add.given();
  if (added && (value_of(step, product.add.value).from != From::input ||
                !whole(step, product.add) || product.bias >= 0)) {
    return {};
  }
  std::size_t at = 0;
  const auto next_is = [&](From from, int index) {
    if (at >= formula.arguments.size()) return false;
    const StepLayout::Columns& c = formula.arguments[at];
    const StepLayout::Value& value = value_of(step, c.value);
    if (value.from != from || !whole(step, c)) return false;
    if (from == From::state && value.index != index) return false;
    ++at;
    return true;
  };
  if (!added && !next_is(From::input, 0)) return {};
  if (!added &&
      value_of(step, formula.arguments[0].value).size != value_of(step, product.result).size) {
    return {};
  }
  if (!next_is(From::product, 0)) return {};
  const bool takes_h = next_is(From::state, 0);
  for (int k = 1; k < step.parts(); ++k) {
    if (!next_is(From::state, k)) return {};
  }
  if (at != formula.arguments.size()) return {};
  for (int k = 0; k < step.parts(); ++k) {
    if (step.next[static_cast<std::size_t>(k)] != formula.result + k) return {};
  }
  return PlainStep{&product, &formula, !added, takes_h};
}

bool fill(const LevelRun& run, RecurrentSequence& to) {
  if (!run.schedule->is_chain()) return false;
  const StepLayout& step = *run.layout;
  const std::optional<PlainStep> plain = plain_step(step);
  if (!plain) return false;
  const Schedule::Level first = run.schedule->level(0);
  const std::int64_t steps = run.schedule->levels(), batch = first.count;
  to.kernel = plain->formula->kernel;
  to.functor = plain->formula->formula.bytes;
  to.apart = plain->apart;
  to.takes_h = plain->takes_h;
  to.reverse = first.first != 0;
  const auto by_time = [&](const Tensor& rows) {
    return rows.reshape(Shape{steps, batch, rows.dim(1)});
  };
  to.zx = by_time(run.input);
  to.w = run.weights[static_cast<std::size_t>(plain->product->terms[0].weight)];
  const Tensor& z = run.values[static_cast<std::size_t>(plain->product->result)];
  to.z = z.defined() ? by_time(z)
                     : Tensor::empty({1, batch, to.w.dim(0)}, to.zx.dtype(), to.zx.device());
  for (const Tensor& states : run.states) {
    if (states.rank() == 3) {
      to.initial.push_back(states.select(0, 0));
      to.states.push_back(states.slice(0, 1, 2));
      continue;
    }
    const std::int64_t begin = to.reverse || steps == 1 ? first.state - first.first : batch;
    const std::int64_t external = run.schedule->external_rows().begin;
    to.initial.push_back(states.slice(0, external, external + batch));
    to.states.push_back(by_time(states.slice(0, begin, begin + steps * batch)));
  }
  return true;
}

}  // namespace

std::optional<RecurrentForward> plain_sequence(const LevelForward& run) {
  RecurrentForward result{};
  if (!fill(run, result)) return {};
  const int bias = run.layout->operations[0].bias;
  if (bias >= 0) {
    result.bias = run.units[static_cast<std::size_t>(value_of(*run.layout, bias).index)];
  }
  return result;
}

std::optional<RecurrentBackward> plain_sequence(const LevelBackward& run) {
  RecurrentBackward result{};
  if (!fill(run, result)) return {};
  for (const Tensor& d : run.dstates) {
    if (d.rank() != 3) return {};  // the caller needs the gradients of all states
    result.dstates.push_back(d.select(0, run.schedule->levels() & 1));
  }
  for (std::size_t k = 1; k < run.upstream.size(); ++k) {
    if (run.upstream[k].defined()) return {};
  }
  result.kernel = result.kernel->backward;
  const auto like = [](const Tensor& rows, const Tensor& shape) {
    return rows.defined() ? rows.reshape(shape.shape().with(2, rows.dim(1))) : rows;
  };
  result.dhs = like(run.upstream[0], result.zx);
  result.dz =
      like(run.dvalues[static_cast<std::size_t>(run.layout->operations[0].result)], result.zx);
  if (result.apart) result.dzx = like(run.dinput, result.zx);
  return result;
}

}  // namespace tapeloop::cuda
