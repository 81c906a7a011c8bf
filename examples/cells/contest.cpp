// SPDX-License-Identifier: MIT
// The cells, their sizes and their training.
#include "examples/cells/contest.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <map>
#include <optional>

#include "examples/common/training.h"
#include "tapeloop/autograd/tape/tape.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/nn/cells/indrnn.h"
#include "tapeloop/optim/adam.h"
#include "tapeloop/optim/clip.h"

namespace cells {

using namespace tapeloop;

namespace {

// A cell whose defaults are not those of its paper's experiments.
const std::map<std::string, std::string> kAsPublished = {
    {"indrnn", "indrnn(steps=T)"},
    {"lmu", "lmu(order=16, theta=T)"},
};
// Cells that are compared in more than one form. The variants of peephole_lstm are those of "A
// Search Space Odyssey".
constexpr const char* kVariants[] = {
    "lstm(forget_bias=1)",
    "gru(reset=before)",
    "peephole_lstm(variant=no_input_gate)",
    "peephole_lstm(variant=no_forget_gate)",
    "peephole_lstm(variant=no_output_gate)",
    "peephole_lstm(variant=no_input_activation)",
    "peephole_lstm(variant=no_output_activation)",
    "peephole_lstm(variant=coupled)",
};

// The text with T replaced by the number of steps.
std::string with_steps(const std::string& cell, std::int64_t steps) {
  std::string result;
  for (std::size_t i = 0; i < cell.size(); ++i) {
    const bool value = i > 0 && cell[i - 1] == '=' && i + 1 < cell.size() &&
                       (cell[i + 1] == ',' || cell[i + 1] == ')');
    if (value && cell[i] == 'T') {
      result += std::to_string(steps);
    } else {
      result += cell[i];
    }
  }
  return result;
}

Model build(const std::string& cell, const TaskFacts& task, std::int64_t layers,
            std::int64_t hidden, Random& random) {
  Model model;
  const nn::RecurrentOptions options{
      .input = task.inputs, .hidden = hidden, .layers = static_cast<int>(layers)};
  model.layers = common::Recurrent(with_steps(cell, task.steps), options, random);
  model.head = nn::Linear(model.layers.layers().output_size(), task.outputs, random);
  return model;
}

// The hidden units of the model whose number of parameters is nearest to the wanted one. A cell may
// refuse some sizes.
std::int64_t fitting_hidden(const std::string& cell, const TaskFacts& task,
                            const ContestSettings& s) {
  constexpr std::int64_t kStep = 4, kMost = 4096;
  std::int64_t best = 0, distance = std::numeric_limits<std::int64_t>::max();
  std::optional<Error> refusal;
  for (std::int64_t hidden = kStep; hidden <= kMost; hidden += kStep) {
    Random unused(1);
    std::int64_t count = 0;
    try {
      count = nn::parameter_count(build(cell, task, s.layers, hidden, unused));
    } catch (const Error& error) {
      refusal = error;
      if (hidden >= 16 * kStep && best == 0) break;
      continue;
    }
    if (std::abs(count - s.parameters) < distance) {
      distance = std::abs(count - s.parameters);
      best = hidden;
    }
    if (count >= s.parameters) break;
  }
  if (best == 0) throw Error(refusal->what());
  return best;
}

}  // namespace

std::vector<std::string> all_cells() {
  std::vector<std::string> result;
  for (const std::string& name : nn::cell_names()) {
    const auto other = kAsPublished.find(name);
    result.push_back(other == kAsPublished.end() ? name : other->second);
  }
  result.insert(result.end(), std::begin(kVariants), std::end(kVariants));
  return result;
}

std::vector<std::string> cells_of(const std::string& list) {
  std::vector<std::string> result;
  int open = 0;
  std::string one;
  for (const char c : list + ",") {
    open += c == '(' ? 1 : c == ')' ? -1 : 0;
    if (c != ',' || open > 0) {
      if (c != ' ' || !one.empty()) one += c;
      continue;
    }
    const nn::CellChoice checked(with_steps(one, 1));
    result.push_back(one);
    one.clear();
  }
  if (!one.empty()) const nn::CellChoice unclosed(one);
  return result;
}

Outcome train(Task& task, const std::string& cell, const ContestSettings& s, std::uint64_t seed,
              const std::function<void(std::int64_t, double)>& report) {
  const TaskFacts& facts = task.facts();
  Outcome outcome;
  outcome.hidden = fitting_hidden(cell, facts, s);
  Random random(seed);
  const Model model = build(cell, facts, s.layers, outcome.hidden, random);
  outcome.parameters = nn::parameter_count(model);
  optim::Adam adam(nn::parameters(model), {.learning_rate = s.learning_rate});
  const double begin = common::cpu_seconds();
  for (std::int64_t update = 0; update < s.updates; ++update) {
    const memory::PeakMeter meter;
    task.draw(seed, update);
    Tape tape;
    const Var loss = task.loss(model);
    const double value = loss.item();
    if (!std::isfinite(value)) {
      outcome.loss = std::numeric_limits<double>::quiet_NaN();
      return outcome;
    }
    tape.backward(loss);
    const double left = 1 - static_cast<double>(update) / static_cast<double>(s.updates);
    adam.set_learning_rate(s.learning_rate * std::min(1.0, 2 * left));
    try {
      optim::clip_grad_norm(adam.parameters(), s.clip);
    } catch (const Error&) {  // a gradient that is not finite
      outcome.loss = std::numeric_limits<double>::quiet_NaN();
      return outcome;
    }
    adam.step();
    adam.zero_grad();
    for (const nn::AnyCell& layer : model.layers.layers().cells()) {
      const auto* const independent = layer.get<nn::IndRnnCell>();
      if (independent != nullptr && independent->steps > 0) independent->clip(independent->steps);
    }
    outcome.mib = std::max(outcome.mib, static_cast<double>(meter.bytes()) / (1 << 20));
    report(update + 1, value);
  }
  outcome.milliseconds = 1e3 * (common::cpu_seconds() - begin) / static_cast<double>(s.updates);
  outcome.loss = task.test(model);
  return outcome;
}

}  // namespace cells
