// SPDX-License-Identifier: MIT
// Gradients on Device::cuda against central differences on the same device, in float64, of first
// and second order: every row of the table of operations, cells over time, a user's cell. Runs on a
// GPU; a second program runs it on the emulated GPU (cuda_emulation/).
#include "tests/device/device.h"
#include "tests/ops/op_table.h"
#include "tests/sequence/minimal_cell.h"

namespace tapeloop::test {
namespace {

std::vector<Var> parameters_for(const OpCase& row, std::int64_t n) {
  std::vector<Var> result;
  for (std::vector<std::int64_t> sizes : row.shapes) {
    for (std::int64_t& size : sizes) size = size == N ? n : size;
    const Tensor value = random_tensor(Shape(sizes), kSeed + result.size(), DType::float64,
                                       row.settings.low, row.settings.high);
    result.push_back(parameter(value.to(Device::cuda)));
  }
  return result;
}

// Checks outputs and last states with respect to every parameter and the input, also with sequences
// of different lengths.
template <class Model>
void check(nn::RecurrentOptions options, const typename Model::Options& own = {}) {
  options.input = 2;
  options.hidden = 2;
  options.dtype = DType::float64;
  Random random(4);
  const Model model(options, random, own);
  nn::move(model, Device::cuda);
  const Var xs = parameter(random_tensor({3, 2, 2}, 8).to(Device::cuda));
  ParameterList list = nn::parameters(model);
  list.push_back({"xs", xs});
  for (const std::vector<std::int64_t>& lengths :
       {std::vector<std::int64_t>{}, std::vector<std::int64_t>{1, 3}}) {
    CAPTURE(lengths.size());
    const auto outputs = [&] {
      const auto [ys, last] = model(xs, {}, lengths);
      std::vector<Var> all{ys};
      all.insert(all.end(), last.begin(), last.end());
      return all;
    };
    const GradcheckReport report = gradcheck(outputs, list, {.second_order = lengths.empty()});
    CHECK_MESSAGE(report.ok, report.str());
  }
}

}  // namespace

TEST_CASE("gradcheck on cuda: every operation, of first and second order") {
  if (!have_gpu()) return;
  const Bounds bounds;
  for (const OpCase& row : op_table()) {
    CAPTURE(row.name);
    CAPTURE(kSeed);
    const std::vector<Var> inputs = parameters_for(row, 3);
    const GradcheckReport report =
        gradcheck([&] { return row.op(inputs); }, detail::numbered(inputs), {.second_order = true});
    CHECK_MESSAGE(report.ok, report.str());
  }
}

TEST_CASE("gradcheck on cuda: RNN, LSTM and GRU, of first and second order") {
  if (!have_gpu()) return;
  const Bounds bounds;
  check<nn::Rnn>({});
  check<nn::Lstm>({});
  check<nn::Lstm>({}, {.projection = 1});
  check<nn::Gru>({});
  check<nn::Gru>({}, {.reset = nn::GruReset::before});
}

TEST_CASE("gradcheck on cuda: a user's cell in both directions") {
  if (!have_gpu()) return;
  const Bounds bounds;
  REQUIRE(register_cells());
  check<nn::Recurrent<MinimalCell>>({.bidirectional = true});
}

TEST_CASE(
    "gradcheck on cuda finds a wrong gradient, names it, and leaves the values as they were") {
  if (!have_gpu()) return;
  const Bounds bounds;
  const Tensor before = random_tensor({3});
  const Var x = parameter(before.to(Device::cuda));
  const GradcheckReport report =  // detach() hides one of the two factors
      gradcheck([&] { return x * x.detach(); }, detail::numbered({&x, 1}));
  CHECK_FALSE(report.ok);
  CHECK(report.failures == 3);
  CHECK(report.str().find("input 0") != std::string::npos);
  CHECK(same_bits(x.value().to(Device::cpu), before));
}

}  // namespace tapeloop::test
