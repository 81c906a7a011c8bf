// SPDX-License-Identifier: MIT
// Runs a tune once through the network under the library's recorder. Before the first step the
// network has read nothing, so the state of a step is the one after the previous note.
#include "examples/jazz/inside.h"

#include "examples/jazz/features.h"
#include "tapeloop/autograd/tensor/error.h"

namespace jazz {

namespace nn = tapeloop::nn;

namespace {

std::string written(const Event& event, const Context& before) {
  std::string result;
  if (event.at.root != before.root || event.at.quality != before.quality) {
    result = "\n| " + print_chord({event.at.root, static_cast<Quality>(event.at.quality)}) + ": ";
  }
  return result + (event.pitch == kRest ? "rest" : print_pitch(pitch_of(event.pitch))) + " ";
}

}  // namespace

std::string neurons_over_tune(const Model& model, const Tune& tune) {
  const Sequence sequence = encode_sequence(tune);
  if (sequence.events.empty()) {
    tapeloop::fail("activations", "the tune \"" + tune.title + "\" has no notes; draw another one");
  }
  Line line(sequence.start);
  Context before = sequence.start;
  std::vector<std::string> symbols{"(start) "};
  Batch batch(static_cast<std::int64_t>(sequence.events.size()), 1);
  for (std::size_t t = 0; t < sequence.events.size(); ++t) {
    const Event& event = sequence.events[t];
    batch.set(static_cast<std::int64_t>(t), 0, line, event);
    line.add(event);
    if (t + 1 < sequence.events.size()) symbols.push_back(written(event, before));
    before = event.at;
  }
  const tapeloop::PauseRecording no_tape;
  nn::RecordActivations record;
  Memory zeros;
  model.read(batch.input, zeros);
  return nn::activation_page(record.all(), symbols, {.title = "Neurons over " + tune.title});
}

}  // namespace jazz
