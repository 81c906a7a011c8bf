// SPDX-License-Identifier: MIT
// Results and gradients against numbers made once by PyTorch (tests/reference/README.md), in
// float64 and float32, on the CPU and on a GPU; a second program runs it on the emulated GPU
// (cuda_emulation/). TAPELOOP_REFERENCE=folder names another folder of cases. reference_kinds.h has
// the table of kinds.
#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <set>

#include "tests/device/device.h"
#include "tests/nn/reference/compare.h"

namespace reference {
namespace {

const char* other_folder() {
  const char* given = std::getenv("TAPELOOP_REFERENCE");
  return given != nullptr && *given != '\0' ? given : nullptr;
}

// The result for the folder of this run, calculated once for each device.
const std::optional<Summary>& summary(Device device) {
  static std::map<Device, std::optional<Summary>> results;
  const auto found = results.find(device);
  if (found != results.end()) return found->second;
  const char* other = other_folder();
  return results[device] = run_folder(other != nullptr ? other : "tests/reference", device);
}

bool have_cases() {
  if (summary(Device::cpu)) return true;
  std::printf(
      "SKIPPED: no *.safetensors; run in the repository root, or set TAPELOOP_REFERENCE to their "
      "folder\n");
  return false;
}

void check_all(Device device) {
  const Summary& result = *summary(device);
  for (const std::string& failure : result.failures) FAIL_CHECK(failure);
  std::string names;
  for (const Skipped& one : result.skipped) names += (names.empty() ? "" : ", ") + one.str();
  std::printf("reference on %s: %d passed, %zu failed, %zu skipped, of unknown kinds: %s\n",
              name(device), result.passed, result.failures.size(), result.skipped.size(),
              names.empty() ? "none" : names.c_str());
}

TEST_CASE("results and gradients agree with the reference cases") {
  if (have_cases()) check_all(Device::cpu);
}

TEST_CASE("results and gradients agree with the reference cases on cuda") {
  if (!test::have_gpu() || !have_cases()) return;
  const test::Bounds bounds;
  check_all(Device::cuda);
  CHECK(summary(Device::cuda)->skipped.size() == summary(Device::cpu)->skipped.size());
}

TEST_CASE("a reference case of this repository is skipped only if the library lacks its kind") {
  if (other_folder() != nullptr || !have_cases()) return;
  std::set<std::string> missing(missing_kinds().begin(), missing_kinds().end());
  std::set<std::string> met;
  for (const Skipped& one : summary(Device::cpu)->skipped) {
    CHECK_MESSAGE((missing.contains(one.kind) && one.reason.empty()), one.str());
    met.insert(one.kind);
  }
  for (const std::string& kind : missing)
    CHECK_MESSAGE(met.contains(kind), "remove from missing_kinds(): " << kind);
  if (!met.empty()) {
    std::printf("SKIPPED: %zu reference cases of %zu kinds that the library does not have\n",
                summary(Device::cpu)->skipped.size(), met.size());
  }
}

// A new folder for each test case, removed afterwards.
struct Folder {
  std::filesystem::path path = std::filesystem::temp_directory_path() / "tapeloop_reference_test";
  Folder() {
    std::filesystem::remove_all(path);
    std::filesystem::create_directories(path);
  }
  ~Folder() { std::filesystem::remove_all(path); }
};

void write_case(const Folder& folder, const std::string& name, const std::string& config,
                const StateDict& tensors) {
  write_safetensors((folder.path / (name + ".safetensors")).string(), tensors,
                    {{"case", name}, {"config", config}});
}

// What the library finds in one case.
Summary result_of(const std::string& name, const std::string& config, const StateDict& tensors) {
  const Folder folder;
  write_case(folder, name, config, tensors);
  return *run_folder(folder.path);
}

Tensor numbers(const Shape& shape, const std::vector<double>& values) {
  return Tensor::from<double>(shape, values);
}

void write_small(const Folder& folder, double second_gradient) {
  write_case(folder, "ce_small", "{\"classes\": 2}",
             {{"input.logits", numbers({1, 2}, {0, 0})},
              {"input.target", Tensor::from<std::int64_t>({1}, {0})},
              {"output.loss", numbers({}, {std::log(2.0)})},
              {"grad.input.logits", numbers({1, 2}, {-0.5, second_gradient})}});
}

TEST_CASE("a reference case with one wrong gradient fails and is named") {
  Folder folder;
  write_small(folder, 0.5);
  CHECK(run_folder(folder.path)->passed == 1);
  write_small(folder, 0.5 + 1e-9);
  const std::optional<Summary> result = run_folder(folder.path);
  REQUIRE(result->failures.size() == 1);
  CHECK(result->failures[0].find("ce_small.safetensors") != std::string::npos);
  CHECK(result->failures[0].find("grad.input.logits") != std::string::npos);
}

TEST_CASE("a damaged reference file is a failure that names it") {
  Folder folder;
  std::ofstream(folder.path / "broken.safetensors") << "not a tensor file";
  const std::optional<Summary> result = run_folder(folder.path);
  REQUIRE(result->failures.size() == 1);
  CHECK(result->failures[0].find("broken.safetensors") != std::string::npos);
}

TEST_CASE("a folder without reference cases is told apart from success") {
  Folder folder;
  CHECK_FALSE(run_folder(folder.path).has_value());
  CHECK_FALSE(run_folder(folder.path / "missing").has_value());
}

TEST_CASE("a case with an input that nothing uses is skipped, not passed") {
  const Summary result = result_of("bce_small", "{}",
                                   {{"input.logits", numbers({1, 2}, {0, 0})},
                                    {"input.target", numbers({1, 2}, {0, 0})},
                                    {"input.temperature", numbers({1}, {1})},
                                    {"output.loss", numbers({}, {std::log(2.0)})}});
  CHECK(result.passed == 0);
  REQUIRE(result.skipped.size() == 1);
  CHECK(result.skipped[0].str() == "bce_small (input.temperature)");
}

TEST_CASE("a case with an output that nothing computes is skipped, not passed") {
  const Summary result = result_of("dropout_small", "{\"p\": 0.5}",
                                   {{"input.x", numbers({2}, {1, 2})},
                                    {"input.mask", numbers({2}, {1, 0})},
                                    {"output.y", numbers({2}, {2, 0})},
                                    {"output.kept", numbers({2}, {1, 0})}});
  CHECK(result.passed == 0);
  REQUIRE(result.skipped.size() == 1);
  CHECK(result.skipped[0].str() == "dropout_small (output.kept)");
}

TEST_CASE("a case whose setting kind has no row is skipped, whatever its name and tensors are") {
  const Summary result = result_of("dropout_small", "{\"kind\": \"alpha_dropout\", \"p\": 0.5}",
                                   {{"input.x", numbers({2}, {1, 2})},
                                    {"input.mask", numbers({2}, {1, 0})},
                                    {"output.y", numbers({2}, {2, 0})}});
  CHECK(result.passed == 0);
  REQUIRE(result.skipped.size() == 1);
  CHECK(result.skipped[0].str() == "dropout_small (alpha_dropout)");
}

// Whether the case passes, and fails if its first output is another one.
void check_passes(const std::string& name, const std::string& config, StateDict tensors) {
  const Summary result = result_of(name, config, tensors);
  for (const std::string& failure : result.failures) FAIL_CHECK(failure);
  for (const Skipped& one : result.skipped) FAIL_CHECK(one.str());
  for (NamedTensor& item : tensors) {
    if (!item.name.starts_with("output.")) continue;
    std::vector<double> values = item.tensor.to_vector<double>();
    values.back() += 0.01;
    item.tensor = numbers(item.tensor.shape(), values);
    break;
  }
  CHECK(result_of(name, config, tensors).passed == 0);
}

TEST_CASE("a given dropout mask: of 0 and 1, or divided by 1 - p already") {
  check_passes("dropout_p", "{\"p\": 0.75}",
               {{"input.x", numbers({3}, {1, 2, 3})},
                {"input.mask", numbers({3}, {1, 0, 1})},
                {"input.w_y", numbers({3}, {1, 1, 2})},
                {"output.y", numbers({3}, {4, 0, 12})},
                {"output.loss", numbers({}, {28})},
                {"grad.input.x", numbers({3}, {4, 0, 8})}});
  check_passes("dropout_scaled", "{}",
               {{"input.x", numbers({3}, {1, 2, 3})},
                {"input.mask", numbers({3}, {4, 0, 4})},
                {"output.y", numbers({3}, {4, 0, 12})}});
}

TEST_CASE("layer norm over two axes, with an output of any name and a loss without weights") {
  const double root = std::sqrt(5.0);
  check_passes(
      "layer_norm_2d", "{\"eps\": 0, \"normalized_shape\": [2, 2]}",
      {{"input.x", numbers({1, 2, 2}, {3, 1, -1, -3})},
       {"param.weight", numbers({2, 2}, {1, 2, 3, 4})},
       {"param.bias", numbers({2, 2}, {1, 0, 0, 0})},
       {"output.rows", numbers({1, 2, 2}, {3 / root + 1, 2 / root, -3 / root, -12 / root})},
       {"output.loss", numbers({}, {1 - 10 / root})},
       {"grad.param.weight", numbers({2, 2}, {3 / root, 1 / root, -1 / root, -3 / root})},
       {"grad.param.bias", numbers({2, 2}, {1, 1, 1, 1})}});
}

TEST_CASE("gradients as outputs: the loss is the sum of their squares, or is weighted") {
  // y = x^2, dy/dx = 2 x: at 1, 2 with weights 3, 1 that is 6, 4.
  const StateDict common{{"input.x", numbers({2}, {1, 2})},
                         {"input.w_square", numbers({2}, {3, 1})},
                         {"output.grad_x", numbers({2}, {6, 4})},
                         {"output.square", numbers({2}, {1, 4})}};
  StateDict squares = common, weighted = common, product = common;
  squares.push_back({"output.loss", numbers({}, {52})});
  squares.push_back({"grad.input.x", numbers({2}, {72, 16})});
  check_passes("op_squares", "{}", squares);
  weighted.push_back({"input.w_grad_x", numbers({2}, {1, 5})});
  weighted.push_back({"output.loss", numbers({}, {26})});
  weighted.push_back({"grad.input.x", numbers({2}, {6, 10})});
  check_passes("op_weighted", "{}", weighted);
  product.push_back({"input.v_x", numbers({2}, {2, 1})});
  product.push_back({"output.hvp_x", numbers({2}, {12, 2})});
  check_passes("op_product", "{}", product);
}

TEST_CASE("trajectories of learning rates, alone and in an optimizer") {
  const std::string step = R"("scheduler": "StepLR", "step_size": 2, "gamma": 0.5)";
  check_passes("lr_step", "{\"lr\": 0.8, " + step + "}",
               {{"output.rates", numbers({5}, {0.8, 0.8, 0.4, 0.4, 0.2})}});
  // loss x^2 / 2: x' = x - rate x
  check_passes("opt_step", R"({"optimizer": "SGD", "steps": 3, "lr": 0.5, )" + step + "}",
               {{"output.losses", numbers({3}, {32, 8, 2})},
                {"output.lr", numbers({3}, {0.5, 0.5, 0.25})},
                {"output.traj.x", numbers({4, 1}, {8, 4, 2, 1.5})},
                {"output.grad.x", numbers({3, 1}, {8, 4, 2})},
                {"param.x", numbers({1}, {8})},
                {"input.A", numbers({1, 1}, {1})},
                {"input.b", numbers({1}, {0})}});
}

}  // namespace
}  // namespace reference
