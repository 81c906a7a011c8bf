// SPDX-License-Identifier: MIT
// custom_cell: a recurrent cell that is in no library, from its formula to a checked gradient to a trained model.
// The task is the adding problem (Hochreiter & Schmidhuber 1997): two of T numbers are marked, say their sum at the end.
// Expect a mean squared error far below 0.167, that of a constant guess, and the last line "the cell has learned to add".
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "examples/common/options.h"
#include "examples/common/output.h"
#include "examples/common/progress.h"
#include "nn/nn.h"
#include "optim/adam.h"
#include "optim/clip.h"

using namespace tapeloop;

// 1. The formula, once. "Two clocks": a minimal gated unit (Zhou et al. 2016) whose state is also followed by a slow one;
// a gate mixes the two. The kernels for training, float64 checks and second derivatives are all made from these lines.
//   fast = (1 - sigmoid(f)) h + sigmoid(f) tanh(n)
//   slow' = slow + rate sigmoid(s) (fast - slow)
//   h' = (1 - sigmoid(o)) fast + sigmoid(o) slow'
struct TwoClocks {
  static constexpr const char* name = "two_clocks";  // what errors and graphs call it
  double rate = 0.5;                                 // a setting: plain numbers, by value
  TL_HD auto operator()(auto f, auto n, auto s, auto o, auto h, auto slow) const {
    auto fast = h + sigmoid(f) * (tanh(n) - h);
    auto slow_next = slow + rate * sigmoid(s) * (fast - slow);
    return outputs(fast + sigmoid(o) * (slow_next - fast), slow_next);
  }
};

// 2. The cell: its parameters, and what a step is. Nothing to inherit. I inputs, H hidden units, N sequences.
struct TwoClocksCell {
  using State = nn::State<2>;  // h and slow; the first is the output
  nn::Linear from_input;       // I -> 4H, with the bias
  nn::Linear from_state;       // H -> 4H

  TwoClocksCell(const nn::RecurrentOptions& o, Random& random)
      : from_input(o.input, 4 * o.hidden, random, true, o.dtype),
        from_state(o.hidden, 4 * o.hidden, random, false, o.dtype) {}

  std::array<std::int64_t, 2> state_sizes() const {
    return {from_state.weight.dim(1), from_state.weight.dim(1)};
  }
  // The part that does not need the state: done for all time steps at once.
  Var input(const Var& x) const { return from_input(x); }
  // One step: h', slow' = TwoClocks(the four columns of input(x) + W h, h, slow).
  Recurrence recurrence() const { return {TwoClocks{}, from_state.weight}; }
  void visit(nn::Visitor& v) const {
    v("from_input", from_input);
    v("from_state", from_state);
  }
};

// A model around it: any cell goes into Recurrent, which stacks, reverses and masks as it does for nn::Lstm.
struct Adder {
  nn::Recurrent<TwoClocksCell> cell;
  nn::Linear head;
  Adder(std::int64_t hidden, Random& random, DType dtype = DType::float32)
      : cell({.input = 2, .hidden = hidden, .dtype = dtype}, random),
        head(hidden, 1, random, true, dtype) {}
  Var operator()(const Var& xs) const {  // [T, N, 2] -> [N, 1]
    auto [ys, last] = cell(xs);
    return head(select_index(last.h(), 0, 0));
  }
  void visit(nn::Visitor& v) const {
    v("cell", cell);
    v("head", head);
  }
};

struct Batch {
  Tensor xs;      // [T, N, 2]: a number in [0, 1), and a mark
  Tensor target;  // [N, 1]: the sum of the two marked numbers
};

Batch draw(std::int64_t steps, std::int64_t count, Random& random) {
  Batch batch{Tensor::zeros({steps, count, 2}), Tensor::zeros({count, 1})};
  auto xs = [&](std::int64_t t, std::int64_t n, std::int64_t k) -> float& {
    return batch.xs.data<float>()[(t * count + n) * 2 + k];
  };
  for (std::int64_t n = 0; n < count; ++n) {
    for (std::int64_t t = 0; t < steps; ++t) xs(t, n, 0) = static_cast<float>(random.uniform());
    auto half = static_cast<std::uint64_t>(steps / 2);
    auto first = static_cast<std::int64_t>(random.below(half));
    auto second =
        static_cast<std::int64_t>(half + random.below(static_cast<std::uint64_t>(steps) - half));
    for (std::int64_t t : {first, second}) {
      xs(t, n, 1) = 1;
      batch.target.data<float>()[n] += xs(t, n, 0);
    }
  }
  return batch;
}

int main(int argc, char** argv) {
  CLI::App app(
      "A recurrent cell of your own, from its formula to training, in one file: "
      "examples/custom_cell/custom_cell.cpp.\n"
      "Checks the cell's gradients in float64, then trains it to add two marked numbers of a "
      "sequence.");
  common::CommonOptions common_options;
  common::add_common(app, common_options, "custom_cell");
  std::int64_t steps = 50;
  std::int64_t hidden = 64;
  std::int64_t updates = 1500;
  common::add_count(app, "--steps", steps, 2, 100000, "numbers in each sequence");
  common::add_count(app, "--hidden", hidden, 1, 4096, "hidden units");
  CLI::Option* given = common::add_count(app, "--updates", updates, 1, common::kAnyCount,
                                         "training steps, each on 64 sequences");
  return common::run_main(app, common_options, "custom_cell", argc, argv, [&] {
    if (common_options.quick && given->count() == 0) updates = 20;
    Random random(common_options.seed);

    // 3. Is the gradient right? In float64, against finite differences, of first and second order.
    Adder small(3, random, DType::float64);
    Tensor probe = random_uniform({4, 2, 2}, -1, 1, random, DType::float64);
    GradcheckReport report =
        gradcheck([&] { return small(Var(probe)); }, nn::parameters(small), {.second_order = true});
    fmt::print("{}\n", report.str());
    if (!report) throw Error("the gradient of the cell is wrong; see the table above");

    // 4. Training.
    Adder model(hidden, random);
    optim::Adam adam(nn::parameters(model), {.learning_rate = 3e-3});
    fmt::print("{} parameters, sequences of {} numbers\n", nn::parameter_count(model), steps);
    common::Progress progress(0, updates, "sequences");
    double running = 0.167;
    for (std::int64_t update = 1; update <= updates; ++update) {
      Batch batch = draw(steps, 64, random);
      Tape tape;
      Var loss = mse(model(Var(batch.xs)), Var(batch.target));
      tape.backward(loss);
      optim::clip_grad_norm(adam.parameters(), 1.0);
      adam.step();
      adam.zero_grad();
      running += 0.02 * (loss.item() - running);
      progress.update(update, running, 64.0 * static_cast<double>(update));
    }
    double seconds = progress.seconds();
    progress.clear();

    // 5. What it does with sequences that it has not seen. No tape in scope: nothing is recorded.
    Batch fresh = draw(steps, 1000, random);
    Var answers = model(Var(fresh.xs));
    double error = mse(answers, Var(fresh.target)).item();
    for (std::int64_t n = 0; n < 5; ++n) {
      fmt::print("  sum {:.3f}   answer {:.3f}\n", fresh.target.at({n, 0}),
                 answers.value().at({n, 0}));
    }
    fmt::print(
        "update {}  mse {:.5f} on 1000 new sequences   (a constant guess scores 0.167)   {:.1f} "
        "s\n",
        updates, error, seconds);
    if (!common_options.json.empty()) {
      common::write_json(common_options.json, {{"mse", error},
                                               {"updates", updates},
                                               {"steps", steps},
                                               {"hidden", hidden},
                                               {"seconds", seconds},
                                               {"gradcheck", report.ok}});
    }
    fmt::print("{}\n", error < 0.01 ? "the cell has learned to add"
                                    : "the cell has not learned to add yet: more --updates");
  });
}
