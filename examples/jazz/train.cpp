// SPDX-License-Identifier: MIT
// The streams, the update and the evaluation. resume.cpp saves and resumes. A tune begins at the
// first step of a batch, so that its memory can begin with zeros there.
#include "examples/jazz/train.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <numeric>
#include <span>

#include "tapeloop/optim/schedule.h"

namespace jazz {

using namespace tapeloop;

namespace {

// Bounds on the memory of an evaluation.
constexpr std::size_t kEvaluationSteps = 128;
constexpr std::size_t kEvaluationTunes = 32;

// Sets the memory of one line to zeros.
void forget(const Memory& memory, std::int64_t line) {
  for (const Tensor& part : memory) part.select(1, line).fill(0);
}

// Adds the nats of a group of tunes, read in parallel, and their number of notes.
void add_nats(const Model& model, std::span<const Tune> tunes, double (&nats)[kFactors],
              double& notes) {
  const PauseRecording no_tape;
  std::vector<Sequence> sequences;
  std::vector<Line> lines;
  std::size_t longest = 0;
  for (const Tune& tune : tunes) {
    sequences.push_back(encode_sequence(tune));
    lines.emplace_back(sequences.back().start);
    longest = std::max(longest, sequences.back().events.size());
  }
  Memory memory;
  for (std::size_t first = 0; first < longest; first += kEvaluationSteps) {
    const std::size_t last = std::min(longest, first + kEvaluationSteps);
    Batch batch(static_cast<std::int64_t>(last - first),
                static_cast<std::int64_t>(sequences.size()));
    for (std::size_t n = 0; n < sequences.size(); ++n) {
      const auto& events = sequences[n].events;
      for (std::size_t i = first; i < std::min(last, events.size()); ++i) {
        batch.set(static_cast<std::int64_t>(i - first), static_cast<std::int64_t>(n), lines[n],
                  events[i]);
        lines[n].add(events[i]);
      }
    }
    const Loss loss = model.loss(batch, memory);
    for (std::size_t i = 0; i < kFactors; ++i) nats[i] += loss.nats[i];
    notes += static_cast<double>(batch.notes);
  }
}

}  // namespace

NatsPerNote nats_per_note(const Model& model, const std::vector<Tune>& tunes) {
  double nats[kFactors] = {};
  double notes = 0;
  const std::span<const Tune> all = tunes;
  for (std::size_t first = 0; first < all.size(); first += kEvaluationTunes) {
    add_nats(model, all.subspan(first, std::min(kEvaluationTunes, all.size() - first)), nats,
             notes);
  }
  return {nats[0] / notes, nats[1] / notes, nats[2] / notes};
}

Trainer::Trainer(const ModelOptions& model, const TrainOptions& options, const Material& material)
    : options_(options),
      material_(material),
      random_(options.seed),
      model_(model, random_),
      learner_(model_, {.adam = {.learning_rate = options.learning_rate,
                                 .weight_decay = options.weight_decay,
                                 .decoupled_decay = true},
                        .clip = options.clip,
                        .clip_option = false}),
      streams_(static_cast<std::size_t>(options.streams)) {
  for (Stream& stream : streams_) {
    begin(stream);
    // Starts the streams at different places, so that not all begin a tune together.
    const auto length = static_cast<std::uint64_t>(stream.sequence.events.size());
    place(stream, stream.tune, stream.semitones,
          static_cast<std::int64_t>(random_.below(length)) / options_.steps * options_.steps);
  }
}

void Trainer::begin(Stream& stream) {
  const auto tune = static_cast<std::int64_t>(random_.below(material_.training.size()));
  const auto semitones = static_cast<std::int64_t>(random_.below(12));
  place(stream, tune, semitones, 0);
}

void Trainer::place(Stream& stream, std::int64_t tune, std::int64_t semitones,
                    std::int64_t next) const {
  stream.tune = tune;
  stream.semitones = semitones;
  stream.next = next;
  stream.sequence =
      transposed(material_.training[static_cast<std::size_t>(tune)], static_cast<int>(semitones));
  stream.line = Line(stream.sequence.start);
  const auto known = std::min(static_cast<std::size_t>(next), stream.sequence.events.size());
  for (std::size_t i = 0; i < known; ++i) stream.line.add(stream.sequence.events[i]);
}

Batch Trainer::next_batch() {
  Batch batch(options_.steps, options_.streams);
  for (std::int64_t n = 0; n < options_.streams; ++n) {
    Stream& stream = streams_[static_cast<std::size_t>(n)];
    if (stream.next >= static_cast<std::int64_t>(stream.sequence.events.size())) {
      begin(stream);
      forget(memory_, n);
    }
    const auto& events = stream.sequence.events;
    for (std::int64_t t = 0; t < options_.steps; ++t, ++stream.next) {
      if (stream.next >= static_cast<std::int64_t>(events.size())) break;
      const Event& event = events[static_cast<std::size_t>(stream.next)];
      batch.set(t, n, stream.line, event);
      stream.line.add(event);
    }
  }
  return batch;
}

double Trainer::update() {
  const optim::LinearWarmup schedule(
      {.steps = std::max<std::int64_t>(1, options_.updates / 20), .start = 0.1},
      optim::Cosine({.steps = options_.updates}));
  schedule.apply(learner_.adam(), updates());
  const Batch batch = next_batch();
  const auto notes = static_cast<double>(std::max<std::int64_t>(1, batch.notes));
  const Memory before = memory_;
  double nats = 0;
  learner_.update([&] {
    memory_ = before;
    const Loss loss = model_.loss(batch, memory_);
    nats = std::accumulate(std::begin(loss.nats), std::end(loss.nats), 0.0);
    return loss.sum * (1 / notes);
  });
  notes_seen_ += batch.notes;
  recent_ = recent_ == 0 ? nats / notes : 0.98 * recent_ + 0.02 * (nats / notes);
  if (updates() % options_.evaluate_every == 0 || finished()) evaluate();
  return nats / notes;
}

void Trainer::evaluate() {
  latest_ = nats_per_note(model_, material_.held_out);
  if (learner_.note_validation(latest_->total())) best_ = latest_;
}

std::string show(const NatsPerNote& n) {
  return fmt::format("{:.4f} = {:.4f} + {:.4f} + {:.4f}", n.total(), n.delta, n.pitch, n.duration);
}

std::string Trainer::validate() {
  return fmt::format("update {:>6}, training {:.4f}     {}{}", updates(), recent_, show(*latest_),
                     history().best_update == updates() ? "  best" : "");
}

}  // namespace jazz
