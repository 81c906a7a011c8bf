// SPDX-License-Identifier: MIT
// character_model: an LSTM learns to spell names, letter by letter, and then makes up new ones. One
// file, the library alone: a start for a program of your own. examples/char_lm is the larger one.
// Runs in a few seconds on one core.
// Expect the last line: "the names are learned"
#include <fmt/format.h>

#include <string>
#include <string_view>
#include <vector>

#include "tapeloop/tapeloop.h"

using namespace tapeloop;

constexpr std::string_view kNames =
    "allosaurus\nankylosaurus\nargentinosaurus\nbaryonyx\nbrachiosaurus\ncarnotaurus\n"
    "ceratosaurus\ncoelophysis\ncompsognathus\ncorythosaurus\ndeinonychus\ndilophosaurus\n"
    "diplodocus\nedmontosaurus\ngallimimus\ngiganotosaurus\nherrerasaurus\nhypsilophodon\n"
    "iguanodon\nkentrosaurus\nlambeosaurus\nmaiasaura\nmegalosaurus\nmicroraptor\nornithomimus\n"
    "oviraptor\npachycephalosaurus\nparasaurolophus\nplateosaurus\nprotoceratops\npsittacosaurus\n"
    "spinosaurus\nstegosaurus\nstyracosaurus\ntherizinosaurus\ntriceratops\ntroodon\n"
    "tyrannosaurus\nutahraptor\nvelociraptor\n";

constexpr std::int64_t kSymbols = 27;  // the end of a name, a to z
std::int64_t index_of(char letter) { return letter == '\n' ? 0 : letter - 'a' + 1; }
char letter_of(std::int64_t index) {
  return index == 0 ? '\n' : static_cast<char>('a' + index - 1);
}

struct Speller {
  nn::Embedding embed;
  nn::Lstm lstm;
  nn::Linear head;
  explicit Speller(Random& random)
      : embed(kSymbols, 16, random),
        lstm({.input = 16, .hidden = 96}, random),
        head(96, kSymbols, random) {}
  void visit(nn::Visitor& v) const { v("embed", embed), v("lstm", lstm), v("head", head); }
};

// Symbols [T, N] of N places in the endless list, and the symbols that follow them.
struct Batch {
  Tensor x, y;
};
Batch batch_at(std::int64_t place, std::int64_t steps, std::int64_t streams) {
  const auto length = static_cast<std::int64_t>(kNames.size());
  std::vector<std::int64_t> x, y;
  for (std::int64_t t = 0; t < steps; ++t) {
    for (std::int64_t n = 0; n < streams; ++n) {
      const std::int64_t at = place + t + n * length / streams;
      x.push_back(index_of(kNames[static_cast<std::size_t>(at % length)]));
      y.push_back(index_of(kNames[static_cast<std::size_t>((at + 1) % length)]));
    }
  }
  return {Tensor::from({steps, streams}, x), Tensor::from({steps, streams}, y)};
}

int main() {
  constexpr std::int64_t kSteps = 32, kStreams = 8;
  Random random(1);
  const Speller model(random);
  optim::Adam adam(nn::parameters(model), {.learning_rate = 5e-3});
  nn::State<2> state;  // goes on from batch to batch: truncated backpropagation through time
  double mean = 3;     // of the last losses, in nats per letter
  for (int update = 1; update <= 400; ++update) {
    const Batch batch = batch_at(update * kSteps, kSteps, kStreams);
    Tape tape;
    const auto [ys, last] = model.lstm(model.embed(batch.x), state);
    const Var loss = cross_entropy(model.head(ys), batch.y);
    tape.backward(loss);
    optim::clip_grad_norm(adam.parameters(), 1.0);
    adam.step();
    adam.zero_grad();
    state = last.detach();
    mean += 0.05 * (loss.item() - mean);
    if (update % 100 == 0) fmt::print("update {}   {:.2f} nats per letter\n", update, mean);
  }

  nn::State<2> own;  // no tape in scope: nothing is recorded
  Tensor letter = Tensor::from<std::int64_t>({1}, {0});
  std::string made;
  while (made.size() < 80 || made.back() != '\n') {
    const auto [ys, last] = model.lstm(model.embed(letter.reshape({1, 1})), own);
    letter = nn::sample(model.head(ys).value().select(0, 0), random, {.temperature = 0.8});
    made += letter_of(static_cast<std::int64_t>(letter.item()));
    own = last;
  }
  fmt::print("made up:\n{}", made);
  fmt::print("{}\n", mean < 0.8 ? "the names are learned" : "the names are not learned yet");
}
