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
#include "tests/nn/reference_compare.h"

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
  std::printf("reference on %s: %d passed, %zu failed, %zu skipped\n", name(device), result.passed,
              result.failures.size(), result.skipped.size());
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

TEST_CASE("reference cases of unknown kinds are skipped by name") {
  if (!have_cases()) return;
  std::string names;
  for (const Skipped& one : summary(Device::cpu)->skipped)
    names += (names.empty() ? "" : ", ") + one.str();
  if (!names.empty()) {
    std::printf("SKIPPED: %zu reference cases of unknown kinds: %s\n",
                summary(Device::cpu)->skipped.size(), names.c_str());
  }
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

void write_case(const Folder& folder, double second_gradient) {
  const std::vector<double> logits{0.0, 0.0};
  write_safetensors((folder.path / "one.safetensors").string(),
                    {{"input.logits", Tensor::from<double>({1, 2}, logits)},
                     {"input.target", Tensor::from<std::int64_t>({1}, {0})},
                     {"output.loss", Tensor::from<double>({}, {std::log(2.0)})},
                     {"grad.input.logits", Tensor::from<double>({1, 2}, {-0.5, second_gradient})}},
                    {{"case", "ce_small"}, {"config", "{\"classes\": 2}"}});
}

TEST_CASE("a reference case with one wrong gradient fails and is named") {
  Folder folder;
  write_case(folder, 0.5);
  CHECK(run_folder(folder.path)->passed == 1);
  write_case(folder, 0.5 + 1e-9);
  const std::optional<Summary> result = run_folder(folder.path);
  REQUIRE(result->failures.size() == 1);
  CHECK(result->failures[0].find("one.safetensors") != std::string::npos);
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
  Folder folder;
  write_safetensors((folder.path / "two.safetensors").string(),
                    {{"input.logits", Tensor::zeros({1, 2}, DType::float64)},
                     {"input.target", Tensor::zeros({1, 2}, DType::float64)},
                     {"input.temperature", Tensor::zeros({2}, DType::float64)},
                     {"output.loss", Tensor::from<double>({}, {std::log(2.0)})}},
                    {{"case", "bce_small"}, {"config", "{}"}});
  const std::optional<Summary> result = run_folder(folder.path);
  CHECK(result->passed == 0);
  REQUIRE(result->skipped.size() == 1);
  CHECK(result->skipped[0].str() == "two (input.temperature)");
}

}  // namespace
}  // namespace reference
