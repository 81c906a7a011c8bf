// SPDX-License-Identifier: MIT
// The adder's model, update, checkpoint, and its sums.
#include "examples/seq2seq/tasks/adder.h"

#include <fmt/format.h>

#include <algorithm>

#include "examples/common/saver.h"
#include "examples/seq2seq/notes.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/nn/look/inspect.h"

namespace seq2seq {

namespace nn = tapeloop::nn;
using common::note, common::number_note;
using tapeloop::Random;
using tapeloop::Tensor;
using tapeloop::Var;

std::map<std::string, std::string> notes_of(const AdderSettings& s) {
  return {{"program", kProgram},
          {"task", "add"},
          {"base", "2"},
          {"hidden", fmt::format("{}", s.hidden)},
          {"bits", fmt::format("{}", s.bits)},
          {"batch", fmt::format("{}", s.batch)},
          {"lr", fmt::format("{}", s.learning_rate)},
          {"clip", fmt::format("{}", s.clip)},
          {"seed", fmt::format("{}", s.seed)}};
}

AdderSettings adder_settings_of(const nn::Checkpoint& saved, const std::string& path) {
  check_task(saved, "add", path);
  if (note(saved, "base", path) != "2") {
    throw tapeloop::FileError(
        fmt::format("{}: this checkpoint adds decimal numbers; give --base 10", path));
  }
  AdderSettings s;
  s.hidden = number_note<std::int64_t>(saved, "hidden", path);
  s.bits = number_note<int>(saved, "bits", path);
  s.batch = number_note<std::int64_t>(saved, "batch", path);
  s.learning_rate = number_note<double>(saved, "lr", path);
  s.clip = number_note<double>(saved, "clip", path);
  s.seed = number_note<std::uint64_t>(saved, "seed", path);
  return s;
}

Adder::Adder(std::int64_t hidden, Random& random, tapeloop::Device where)
    : rnn({.input = 2, .hidden = hidden}, random), head(hidden, 1, random), device(where) {
  nn::move(*this, device);
}

Adder::Output Adder::operator()(const Tensor& bits) const {
  const auto [hidden, last] = rnn(Var(bits.to(device)));
  return {head(hidden), hidden};
}

std::uint64_t Adder::add(const Sum& sum, int bits) const {
  const Tensor logits =
      (*this)(addend_bits({&sum, 1}, bits)).logits.value().to(tapeloop::Device::cpu);
  std::uint64_t result = 0;
  for (std::int64_t t = 0; t <= bits; ++t) {
    if (logits.at({t, 0, 0}) > 0) result |= std::uint64_t{1} << t;
  }
  return result;
}

void Adder::visit(nn::Visitor& v) const {
  v("rnn", rnn);
  v("head", head);
}

std::int64_t right_sums(const Adder& adder, std::span<const Sum> sums, int bits) {
  const std::vector<float> logits =
      adder(addend_bits(sums, bits)).logits.value().to(tapeloop::Device::cpu).to_vector<float>();
  const std::vector<float> expected = sum_bits(sums, bits).to_vector<float>();
  std::int64_t right = 0;
  for (std::size_t n = 0; n < sums.size(); ++n) {
    bool all = true;
    for (std::size_t i = n; i < logits.size(); i += sums.size()) {
      all = all && (logits[i] > 0) == (expected[i] > 0.5f);
    }
    right += all ? 1 : 0;
  }
  return right;
}

CarryTrace trace_of(const Adder& adder, const Sum& sum, int bits) {
  const auto out = adder(addend_bits({&sum, 1}, bits));
  CarryTrace trace;
  trace.carries = carries_of(sum, 2, bits + 1);
  trace.hidden = out.hidden.value().select(1, 0).to(tapeloop::Device::cpu);
  const Tensor logits = out.logits.value().to(tapeloop::Device::cpu);
  for (int t = 0; t <= bits; ++t) {
    trace.digits.push_back(fmt::format("{}{}", sum.a >> t & 1u, sum.b >> t & 1u));
    trace.sums.push_back(logits.at({t, 0, 0}) > 0 ? "1" : "0");
  }
  trace.caption = fmt::format("{} + {} = {}", sum.a, sum.b, adder.add(sum, bits));
  return trace;
}

AdderTrainer::AdderTrainer(const AdderSettings& settings)
    : AdderTrainer(settings, Random(settings.seed)) {}

AdderTrainer::AdderTrainer(const AdderSettings& settings, Random random)
    : settings_(settings),
      adder_(settings.hidden, random, settings.device),
      sums_(random.split()),
      adam_(nn::parameters(adder_), {.learning_rate = settings.learning_rate}) {}

Var AdderTrainer::loss_of(std::span<const Sum> sums) const {
  return bce_with_logits(adder_(addend_bits(sums, settings_.bits)).logits,
                         Var(sum_bits(sums, settings_.bits).to(settings_.device)));
}

std::string AdderTrainer::explain(std::span<const Sum> sums) const {
  return nn::find_non_finite(adder_, [&] { return loss_of(sums); }).str();
}

double AdderTrainer::update() {
  std::vector<Sum> sums;
  for (std::int64_t i = 0; i < settings_.batch; ++i) {
    sums.push_back(random_binary_sum(settings_.bits, sums_));
  }
  tapeloop::Tape tape;
  const Var loss = loss_of(sums);
  const double nats = common::descend(tape, loss, adam_, settings_.clip, updates_ + 1,
                                      [&] { return explain(sums); });
  ++updates_;
  return nats;
}

void AdderTrainer::note_end() {
  history_ = common::History();
  history_.note_validation(0, updates_, nn::state_dict(adder_));
}

nn::Checkpoint AdderTrainer::checkpoint() const {
  return {.sections = {{"model", nn::state_dict(adder_)},
                       {"optimizer", adam_.state_dict()},
                       {"history", history_.state_dict()},
                       {"best", history_.best_weights}},
          .randoms = {{"sums", sums_}},
          .step = updates_,
          .notes = notes_of(settings_)};
}

void AdderTrainer::restore(const nn::Checkpoint& saved, const std::string& path) {
  nn::load_state_dict(adder_, saved.section("model"), path);
  adam_.load_state_dict(saved.section("optimizer"));
  sums_ = saved.random("sums");
  // Earlier versions saved no history during a training.
  const bool has_history = std::any_of(saved.sections.begin(), saved.sections.end(),
                                       [](const auto& part) { return part.first == "history"; });
  history_ = has_history ? common::history_of(saved, path) : common::History();
  updates_ = saved.step;
}

}  // namespace seq2seq
