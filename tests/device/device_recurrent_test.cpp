// SPDX-License-Identifier: MIT
// The forms of recurrent() on Device::cuda against each other and the CPU: values, first and second
// gradients, over odd sizes, lengths and directions. Runs on a GPU; a second program runs it on the
// emulated GPU (cuda_emulation/).
#include <fstream>
#include <random>

#include "tests/device/device.h"
#include "tests/device/device_cell.h"
#include "tests/folder.h"
#include "tests/sequence/recurrent_oracle.h"

namespace tapeloop::test {
namespace {

using cuda::RecurrentForm;

constexpr DType kFloat = DType::float32;

// Sets a form while it exists.
struct Form {
  explicit Form(RecurrentForm form) { cuda::set_recurrent_form(form); }
  ~Form() { cuda::set_recurrent_form(RecurrentForm::automatic); }
  Form(const Form&) = delete;
  Form& operator=(const Form&) = delete;
};

Outcome on_cpu(Outcome outcome) {
  for (Tensor& value : outcome.values) value = value.to(Device::cpu);
  for (Tensor& gradient : outcome.gradients) gradient = gradient.to(Device::cpu);
  return outcome;
}

Outcome run(const Problem& p, RecurrentForm form) {
  const Form scope(form);
  Outcome result = on_cpu(p.run(fused));
  if (p.device == Device::cuda && form != RecurrentForm::automatic) {
    CHECK(cuda::last_recurrent_form() == form);
  }
  return result;
}

Problem like(const Problem& p, Device device) {
  Problem result(p.kind, p.steps, p.batch, p.hidden, p.dtype, device);
  result.reverse = p.reverse;
  result.lengths = p.lengths;
  result.give = p.give;
  result.use = p.use;
  return result;
}

constexpr double kAllowed = 1e-5;

// Compares the form of one launch with the CPU and with the alternating form.
void compare(const Problem& here) {
  CAPTURE(std::string(here.kind.name));
  CAPTURE(here.steps);
  CAPTURE(here.batch);
  CAPTURE(here.hidden);
  CAPTURE(here.reverse);
  CAPTURE(here.lengths.size());
  CAPTURE(static_cast<int>(here.give));
  CAPTURE(static_cast<int>(here.use));
  const Problem there = like(here, Device::cuda);
  const Outcome expected = run(here, RecurrentForm::automatic);
  const Outcome alternating = run(there, RecurrentForm::alternating);
  check_same(alternating, expected, kAllowed);
  if (std::any_of(here.lengths.begin(), here.lengths.end(),
                  [&](std::int64_t length) { return length != here.steps; })) {
    run(there, RecurrentForm::automatic);
    CHECK(cuda::last_recurrent_form() == RecurrentForm::alternating);
    return;
  }
  const Outcome result = run(there, RecurrentForm::persistent);
  check_same(result, expected, kAllowed);
  check_same(result, alternating, kAllowed);
}

// Returns the text of the error, or "".
std::string refusal(const Problem& p, RecurrentForm form) {
  const Form scope(form);
  try {
    p.forward(fused);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

bool ready() { return have_gpu() && register_cells(); }

}  // namespace

TEST_CASE("a sequence in one launch gives what it gives step by step, at every size") {
  if (!ready()) return;
  const Bounds bounds;
  std::mt19937_64 random(kSeed);  // draws options: each option meets each size
  for (const Kind& kind : kKinds) {
    for (const std::int64_t hidden : {5, 33, 65}) {
      for (const std::int64_t batch : {1, 3, 17, 64}) {
        const std::int64_t steps = std::array{1, 2, 17}[random() % (batch > 3 ? 2 : 3)];
        Problem p(kind, steps, batch, hidden, kFloat);
        p.reverse = random() % 2 == 0;
        if (random() % 2 == 0) p.set_lengths(random);
        p.give = kGives[random() % 3];
        p.use = kUses[random() % 5];
        compare(p);
      }
    }
  }
}

TEST_CASE("every number of steps with lengths, and in one launch without, in both directions") {
  if (!ready()) return;
  const Bounds bounds;
  std::mt19937_64 random(kSeed);
  for (const Kind& kind : {kKinds[0], kKinds[2], kKinds[4]}) {  // LSTM, GRU, three parts
    for (const std::int64_t steps : {1, 2, 17}) {
      for (const bool reverse : {false, true}) {
        for (const bool lengths : {false, true}) {
          Problem p(kind, steps, 3, 65, DType::float32);
          p.reverse = reverse;
          if (lengths) p.set_lengths(random);
          compare(p);
        }
      }
    }
  }
}

TEST_CASE("in one launch without a tape: only h is kept for each step") {
  if (!ready()) return;
  const Bounds bounds;
  for (const Kind& kind : kKinds) {
    for (const std::int64_t steps : {1, 4}) {
      const Problem here(kind, steps, 3, 65, kFloat);
      const Problem there = like(here, Device::cuda);
      const RecurrentResult expected = here.forward(fused);
      const Form scope(RecurrentForm::persistent);
      const RecurrentResult result = there.forward(fused);
      CAPTURE(std::string(kind.name));
      CHECK(error_of(result.hs.value().to(Device::cpu), expected.hs.value()) < kAllowed);
      for (std::size_t k = 0; k < result.last.size(); ++k) {
        CHECK(error_of(result.last[k].value().to(Device::cpu), expected.last[k].value()) <
              kAllowed);
      }
    }
  }
}

TEST_CASE("what zx holds past a sequence's length does not matter, not even NaN") {
  if (!ready()) return;
  const std::vector<std::int64_t> lengths = {2, 0, 3};
  std::vector<Outcome> outcomes;
  for (const double filler : {0.0, static_cast<double>(NAN)}) {
    Problem p(kKinds[0], 3, 3, 9, kFloat, Device::cuda);
    p.lengths = lengths;
    p.give = Give::itself;
    Tensor x = p.x.value().to(Device::cpu);
    for (std::int64_t n = 0; n < 3; ++n) {
      const auto length = lengths[static_cast<std::size_t>(n)];
      if (length < 3) x.slice(0, length, 3).select(1, n).fill(filler);
    }
    p.x = parameter(x.to(Device::cuda));
    outcomes.push_back(on_cpu(p.run(fused)));
  }
  CHECK(same_bits(outcomes[0], outcomes[1]));
}

TEST_CASE("the gradient of the gradient of a sequence in one launch") {
  if (!ready()) return;
  const Bounds bounds;
  std::mt19937_64 random(kSeed);
  for (const Kind& kind : kKinds) {
    Problem p(kind, 4, 3, 17, kFloat);
    p.reverse = random() % 2 == 0;
    p.give = kGives[random() % 3];
    const Problem there = like(p, Device::cuda);
    const Form scope(RecurrentForm::persistent);
    CAPTURE(std::string(kind.name));
    check_same(on_cpu(there.run(fused, 2)), p.run(fused, 2), kAllowed);
  }
}

TEST_CASE("the same bits from a sequence in one launch, run to run") {
  if (!ready()) return;
  const Problem p(kKinds[0], 17, 3, 65, kFloat, Device::cuda);
  const Outcome first = run(p, RecurrentForm::persistent);
  for (unsigned seed = 0; seed < 3; ++seed) {
    emulation::set_order(100 + seed);  // another order of blocks and threads
    CHECK(same_bits(run(p, RecurrentForm::persistent), first));
  }
}

TEST_CASE("a form that was asked for and cannot be had is refused with the reason") {
  if (!ready()) return;
  const Problem large(kKinds[0], 2, 3, 2000, kFloat, Device::cuda);
  const std::string text = refusal(large, RecurrentForm::persistent);
  CHECK(text.find("set_recurrent_form() asked for RecurrentForm::persistent") != std::string::npos);
  CHECK(text.find("H = 2000, 4 gates do not fit") != std::string::npos);
  CHECK(text.find("RecurrentForm::automatic chooses") != std::string::npos);
  CHECK(refusal(large, RecurrentForm::automatic).empty());
  CHECK(cuda::last_recurrent_form() == RecurrentForm::alternating);
  const Form scope(RecurrentForm::persistent);
  const Var zx(Tensor::zeros({2, 3, 5}, DType::float32, Device::cuda));
  const Var w(Tensor::zeros({5, 5}, DType::float32, Device::cuda));
  const Var h(Tensor::zeros({3, 5}, DType::float32, Device::cuda));
  CHECK(throws_with("add register_recurrent<F>() to a .cu file", [&] {
    recurrent(Recurrence(PointwiseOnly{}, of::input() + of::product(w)), zx, {h});
  }));
}

TEST_CASE("a sequence in float64 alternates; one launch for it is refused") {
  if (!ready()) return;
  const Bounds bounds;
  const Problem here(kKinds[0], 3, 3, 33);
  const Problem there = like(here, Device::cuda);
  check_same(on_cpu(there.run(fused)), here.run(fused), 1e-10);
  CHECK(cuda::last_recurrent_form() == RecurrentForm::alternating);
  CHECK(refusal(there, RecurrentForm::persistent)
            .find("it is in float64, and only float32 has this form") != std::string::npos);
}

TEST_CASE("a GPU without room for blocks that wait for each other: it alternates, until it has") {
  if (!have_emulation() || !ready()) return;
  const Bounds bounds;
  const Problem here(kKinds[0], 3, 5, 97, kFloat);
  const Problem there = like(here, Device::cuda);
  const auto form = [&] {
    check_same(on_cpu(there.run(fused)), here.run(fused), kAllowed);
    return cuda::last_recurrent_form();
  };
  struct Room {
    Room() { emulation::set_room(0); }
    ~Room() { emulation::set_room(1); }
  };
  {
    const Room nothing;
    CHECK(form() == RecurrentForm::alternating);
    const std::string text = refusal(there, RecurrentForm::persistent);
    CHECK(text.find("the GPU has no room for") != std::string::npos);
    CHECK(text.find("it may be shared with others") != std::string::npos);
  }
  CHECK(form() == RecurrentForm::alternating);  // a launch without room is not tried again
  CHECK(refusal(there, RecurrentForm::persistent).empty());
}

TEST_CASE("a form that a sequence fits and its gradient does not: the backward pass is refused") {
  if (!have_emulation() || !ready()) return;
  const Form scope(RecurrentForm::persistent);
  const Problem p(kKinds[0], 1, 16, 280, kFloat, Device::cuda);
  p.forward(fused);
  CHECK(cuda::last_recurrent_form() == RecurrentForm::persistent);
  CHECK(throws_with("for its gradient N = 16, H = 280, 4 gates do not fit", [&] { p.run(fused); }));
}

TEST_CASE("every division of the batch gives the same, with each tile") {
  if (!ready()) return;
  const Bounds bounds;
  const Folder folder;
  const std::string file = folder.file("times.txt");
  struct Times {
    ~Times() { cuda::use_recurrent_times(""); }
  } const reset;
  struct Case {
    const Kind& kind;
    std::int64_t batch, hidden;
  };
  for (const Case& c :
       {Case{kKinds[0], 40, 70}, Case{kKinds[2], 20, 90}, Case{kKinds[4], 64, 80}}) {
    Problem here(c.kind, 2, c.batch, c.hidden, kFloat);
    here.reverse = c.batch == 20;
    const Problem there = like(here, Device::cuda);
    const Outcome expected = here.run(fused);
    for (const int groups : {1, 2, 3, 6}) {
      std::ofstream text(file);
      for (const char* pass : {"forward", "backward"}) {
        text << c.hidden << ' ' << c.kind.gates << ' ' << c.batch << ' ' << pass << ' ' << groups
             << " 1\n";
      }
      text.close();
      cuda::use_recurrent_times(file);
      CAPTURE(c.batch);
      CAPTURE(groups);
      check_same(run(there, RecurrentForm::persistent), expected, kAllowed);
    }
  }
}

TEST_CASE("a sequence in one launch: as many launches for 30 steps as for 3") {
  if (!have_emulation()) return;
  if (!ready()) return;
  const Form scope(RecurrentForm::persistent);
  std::int64_t before = 0, launches[2] = {};
  for (const std::int64_t steps : {3, 30}) {
    const Problem p(kKinds[0], steps, 2, 9, kFloat, Device::cuda);
    const Var zx = p.x.detach();
    before = emulation::launches();
    fused(p.recurrence(), zx, p.state, {});
    launches[steps == 30] = emulation::launches() - before;
  }
  CHECK(launches[0] == launches[1]);
}

}  // namespace tapeloop::test
