// SPDX-License-Identifier: MIT
// The adder's model, update, checkpoint, and its sums.
#include "examples/seq2seq/tasks/adder.h"

#include <fmt/format.h>

#include <algorithm>

#include "examples/common/saver.h"
#include "tapeloop/autograd/tensor/error.h"

namespace seq2seq {

namespace nn = tapeloop::nn;
using tapeloop::Random;
using tapeloop::Tensor;
using tapeloop::Var;

namespace {

common::SettingsTable table_of(AdderSettings& s) {
  common::SettingsTable rows = {common::count("", s.bits, 1, kMostBits, "").noted("bits")};
  for (common::Setting& row : table_of(static_cast<Settings&>(s))) {
    for (const char* name : {"hidden", "batch", "lr", "clip", "seed"}) {
      if (row.note == name) rows.push_back(std::move(row));
    }
  }
  return rows;
}

}  // namespace

std::map<std::string, std::string> notes_of(const AdderSettings& settings) {
  AdderSettings copy = settings;
  auto notes = common::notes_of(table_of(copy));
  notes["program"] = kProgram;
  notes["task"] = "add";
  notes["base"] = "2";
  return notes;
}

AdderSettings adder_settings_of(const nn::Checkpoint& saved, const std::string& path) {
  check_task(saved, "add", path);
  if (common::note(saved, "base", path) != "2") {
    throw tapeloop::FileError(
        fmt::format("{}: this checkpoint adds decimal numbers; give --base 10", path));
  }
  AdderSettings settings({}, kMostBits);
  common::read_notes(table_of(settings), saved, path);
  return settings;
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
    trace.sums.emplace_back(logits.at({t, 0, 0}) > 0 ? "1" : "0");
  }
  trace.caption = fmt::format("{} + {} = {}", sum.a, sum.b, adder.add(sum, bits));
  return trace;
}

AdderTrainer::AdderTrainer(const AdderSettings& settings)
    : AdderTrainer(settings, Random(settings.seed)) {}

AdderTrainer::AdderTrainer(const AdderSettings& settings, Random random)
    : settings_(settings),
      adder_(settings.model.hidden, random, settings.model.device),
      sums_(random.split()),
      learner_(adder_, {.adam = {.learning_rate = settings.learning_rate}, .clip = settings.clip}) {
}

double AdderTrainer::update() {
  std::vector<Sum> sums;
  for (std::int64_t i = 0; i < settings_.batch; ++i) {
    sums.push_back(random_binary_sum(settings_.bits, sums_));
  }
  return learner_.update([&] {
    return bce_with_logits(adder_(addend_bits(sums, settings_.bits)).logits,
                           Var(sum_bits(sums, settings_.bits).to(settings_.model.device)));
  });
}

bool AdderTrainer::finished() const {
  return updates() >= settings_.updates && history().best_update == updates();
}

std::string AdderTrainer::validate() {
  if (updates() >= settings_.updates) note_end();
  return "";
}

void AdderTrainer::note_end() {
  learner_.history = common::History();
  learner_.note_validation(0);
}

nn::Checkpoint AdderTrainer::checkpoint() const {
  nn::Checkpoint result = learner_.checkpoint(notes_of(settings_));
  result.randoms.emplace_back("sums", sums_);
  return result;
}

void AdderTrainer::restore(const nn::Checkpoint& saved, const std::string& path) {
  // Earlier versions saved no history during a training.
  const bool has_history = std::any_of(saved.sections.begin(), saved.sections.end(),
                                       [](const auto& part) { return part.first == "history"; });
  learner_.restore_state(saved, path);
  learner_.history = has_history ? common::history_of(saved, path) : common::History();
  sums_ = saved.random("sums");
}

void AdderTrainer::check(const nn::Checkpoint& saved, const std::string& path) const {
  adder_settings_of(saved, path);
  common::check_resumed_settings(saved, notes_of(settings_), path, "");
}

}  // namespace seq2seq
