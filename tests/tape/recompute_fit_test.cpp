// SPDX-License-Identifier: MIT
// Recompute::fit_mib: the chosen segments, and so the bits of the gradients, depend on the cell,
// the shapes and the budget alone.
#include <array>
#include <cstdio>
#include <filesystem>
#include <set>

#include "tapeloop/nn/nn.h"
#include "tests/support.h"

namespace tapeloop::nn {
namespace {

using test::random_tensor;

constexpr std::int64_t kSteps = 90, kBatch = 5, kInput = 6, kHidden = 20;

LstmCell small_cell() {
  Random random(1);
  return LstmCell({.input = kInput, .hidden = kHidden}, random);
}

// 40 budgets: from the smallest sufficient one to more than the stored run needs.
std::vector<double> budgets() {
  std::vector<double> result;
  for (double mib = 0.2; result.size() < 40; mib += 0.02) result.push_back(mib);
  return result;
}

// Returns a digest of the bits of all gradients; 0 if the budget is too small.
std::uint64_t gradient_bits(const LstmCell& cell, const UnrollOptions& options,
                            const TapeOptions& tape_options = {}) {
  for (const NamedVar& p : parameters(cell)) p.var.zero_grad();
  const Var xs(random_tensor({kSteps, kBatch, kInput}, 4, DType::float32));
  Tape tape(tape_options);
  try {
    const auto [ys, last] = unroll(cell, xs, {}, options);
    tape.backward(sum(square(ys)) + sum(last[1]));
  } catch (const Error&) {
    return 0;
  }
  std::uint64_t digest = 1;
  for (const NamedVar& p : parameters(cell)) {
    const std::vector<float> values = p.var.grad().value().to_vector<float>();
    for (const float value : values) {
      std::uint32_t bits = 0;
      std::memcpy(&bits, &value, sizeof(bits));
      digest = (digest ^ bits) * 0x100000001B3ull;
    }
  }
  return digest;
}

std::vector<std::uint64_t> all_bits(const LstmCell& cell, const TapeOptions& tape_options = {}) {
  std::vector<std::uint64_t> result;
  for (const double mib : budgets()) {
    result.push_back(gradient_bits(cell, {.recompute = {.fit_mib = mib}}, tape_options));
  }
  return result;
}

// Returns the number of steps in a segment, for a budget and lengths.
std::int64_t steps_for(const LstmCell& cell, double mib, std::span<const std::int64_t> lengths) {
  const Var xs(random_tensor({kSteps, kBatch, kInput}, 4, DType::float32));
  Tape tape;
  LstmCell::State state;
  detail::complete_state(cell, xs, state);
  return detail::segment_steps(
      xs, state, {.lengths = lengths, .recompute = {.fit_mib = mib}},
      [&](const Var& x, const LstmCell::State& start, std::span<const std::int64_t> own) {
        return unroll(cell, x, start, {.lengths = own}).ys;
      });
}

// Runs other models of other sizes: their blocks, records and packed weights stay in memory.
void other_work(int round) {
  Random random(static_cast<std::uint64_t>(round));
  const Gru model({.input = 7, .hidden = 30 + 9 * round, .layers = 2}, random);
  const Var xs(random_tensor({20 + 31 * round, 3, 7}, 4, DType::float32));
  for (int i = 0; i < 2; ++i) {
    Tape tape;
    tape.backward(sum(square(model(xs).ys)), {.retain = i == 0});
    if (i == 0) tape.backward(sum(model(xs).ys));
  }
  if (round % 2 == 1) memory::release_cached();
}

}  // namespace

TEST_CASE("fit_mib gives the same gradients, to the bit, whatever the process did before") {
  const LstmCell cell = small_cell();
  const std::vector<std::uint64_t> first = all_bits(cell);
  CHECK(std::set<std::uint64_t>(first.begin(), first.end()).size() > 5);
  CHECK(first.back() == gradient_bits(cell, {}));  // everything fits
  other_work(1);
  CHECK(all_bits(cell) == first);
  other_work(2);
  const std::vector<Tensor> held = {Tensor::zeros({1000, 100}), Tensor::zeros({33})};
  CHECK(all_bits(cell) == first);
  CHECK(all_bits(small_cell()) == first);  // this cell's weights were never used
  // In another order; parameters are written in between.
  const std::vector<double> limits = budgets();
  for (std::size_t i = limits.size(); i-- > 0;) {
    if (i % 8 == 3) other_work(static_cast<int>(i));
    for (const NamedVar& p : parameters(cell)) p.var.value().mark_written();
    CHECK(gradient_bits(cell, {.recompute = {.fit_mib = limits[i]}}) == first[i]);
  }
}

TEST_CASE(
    "fit_mib gives the same gradients for any number of threads, and on a tape that looks inside") {
  const LstmCell cell = small_cell();
  const std::vector<std::uint64_t> first = all_bits(cell);
  for (const int threads : {1, 2, 5}) {
    const test::Threads several(threads);
    CHECK(all_bits(cell) == first);
  }
  CHECK(all_bits(cell, {.measure = true}) == first);
  CHECK(all_bits(cell, {.state_gradients = true}) == first);
  CHECK(all_bits(cell, {.check_finite = true}) == first);
}

TEST_CASE("fit_mib: bits for another process" * doctest::skip()) {  // run by the next case
  for (const std::uint64_t bits : all_bits(small_cell()))
    std::printf("bits %llu\n", static_cast<unsigned long long>(bits));
}

TEST_CASE("fit_mib gives the same gradients in a fresh process") {
  other_work(3);
  const std::string program = std::filesystem::read_symlink("/proc/self/exe").string();
  std::FILE* child =
      popen(("'" + program + "' --no-skip -tc='fit_mib: bits for another process'").c_str(), "r");
  REQUIRE(child != nullptr);
  std::vector<std::uint64_t> theirs;
  std::array<char, 256> line;
  while (std::fgets(line.data(), line.size(), child) != nullptr) {
    unsigned long long bits = 0;
    if (std::sscanf(line.data(), "bits %llu", &bits) == 1) theirs.push_back(bits);
  }
  CHECK(pclose(child) == 0);
  CHECK(theirs == all_bits(small_cell()));
}

TEST_CASE("fit_mib: the values of lengths decide nothing") {
  const LstmCell cell = small_cell();
  const std::array<std::vector<std::int64_t>, 3> lengths = {
      std::vector<std::int64_t>(kBatch, kSteps), std::vector<std::int64_t>(kBatch, 0),
      std::vector<std::int64_t>{90, 3, 17, 0, 80}};
  std::set<std::int64_t> seen;
  for (const double mib : {0.45, 0.5, 0.6, 0.7}) {
    const std::int64_t steps = steps_for(cell, mib, lengths[0]);
    CHECK(steps_for(cell, mib, lengths[1]) == steps);
    CHECK(steps_for(cell, mib, lengths[2]) == steps);
    seen.insert(steps);
  }
  CHECK(seen.size() > 1);
}

TEST_CASE("fit_mib counts a weight that is made by operations") {
  const LstmCell cell = small_cell();
  const auto gradient = [&](const Recompute& recompute) {
    cell.w.weight_hh.zero_grad();
    Tape tape;
    LstmCell scaled = cell;
    scaled.w.weight_hh = cell.w.weight_hh * 0.9;
    const Var xs(random_tensor({kSteps, kBatch, kInput}, 4, DType::float32));
    tape.backward(sum(square(unroll(scaled, xs, {}, {.recompute = recompute}).ys)));
    return cell.w.weight_hh.grad().value().clone();
  };
  CHECK(test::distance(gradient({}), gradient({.fit_mib = 0.5})) < 1e-4);
}

}  // namespace tapeloop::nn
