// SPDX-License-Identifier: MIT
// custom_cell: a recurrent cell that no library has, from its formula to a checked gradient to a
// trained model.
// The task is the adding problem (Hochreiter & Schmidhuber 1997): two of T numbers are marked, and
// the model gives their sum at the end.
// The formula is in two_clocks.h, its registration for a GPU in two_clocks.cu, the cell and its
// model in adder.h.
// Expect a mean squared error far below 0.167, the error of a constant guess, and the last line
// "the cell has learned to add".
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "examples/common/options.h"
#include "examples/common/output.h"
#include "examples/common/progress.h"
#include "examples/custom_cell/adder.h"

using namespace custom_cell;

int main(int argc, char** argv) {
  common::CommonOptions common_options;
  common::CommandLine line(
      common_options, "custom_cell",
      "A recurrent cell of your own, from its formula to training, in one folder: "
      "examples/custom_cell.\n"
      "Checks the cell's gradients in float64, then trains it to add two marked numbers of a "
      "sequence.");
  std::int64_t steps = 50;
  std::int64_t hidden = 64;
  std::int64_t updates = 1500;
  line.add({common::count("--steps", steps, 2, 100000, "numbers in each sequence"),
            common::count("--hidden", hidden, 1, 4096, "hidden units"),
            common::count("--updates", updates, 1, common::kAnyCount,
                          "training steps, each on 64 sequences")});
  return line.run(argc, argv, [&] {
    if (common_options.quick) line.preset("--updates", 20);
    const Device device = common_options.device;
    Random random(common_options.seed);

    // 3. Is the gradient right? In float64, against finite differences, of first and second order.
    Adder small(3, random, DType::float64);
    nn::move(small, device);
    Tensor probe = random_uniform({4, 2, 2}, -1, 1, random, DType::float64).to(device);
    GradcheckReport report =
        gradcheck([&] { return small(Var(probe)); }, nn::parameters(small), {.second_order = true});
    fmt::print("{}\n", report.str());
    if (!report) throw Error("the gradient of the cell is wrong; see the table above");

    // 4. Training.
    Adder model(hidden, random);
    nn::move(model, device);
    optim::Adam adam(nn::parameters(model), {.learning_rate = 3e-3});
    fmt::print("{} parameters, sequences of {} numbers\n", nn::parameter_count(model), steps);
    common::Progress progress(0, updates, "sequences");
    double running = 0.167;
    for (std::int64_t done = 1; done <= updates; ++done) {
      running += 0.02 * (update(model, adam, draw(steps, 64, random).to(device)) - running);
      progress.update(done, running, 64.0 * static_cast<double>(done));
    }
    double seconds = progress.seconds();
    progress.clear();

    // 5. Tests new sequences. No tape in scope: nothing is recorded.
    Batch fresh = draw(steps, 1000, random).to(device);
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
