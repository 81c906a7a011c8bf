// SPDX-License-Identifier: MIT
// Results and gradients against numbers made once by PyTorch (tests/reference/README.md), in float64 and float32, on the CPU
// and on a GPU, or, as another program, on the emulated one (cuda_emulation/).
// Another folder of cases: TAPELOOP_REFERENCE=folder. What a case means is in reference_kinds.h and reference_ops.h.
#include <doctest/doctest.h>

#include <cstdio>
#include <fstream>
#include <optional>

#include "tests/device/device.h"
#include "tests/nn/reference_attention.h"
#include "tests/nn/reference_kinds.h"
#include "tests/nn/reference_ops.h"

namespace reference {
namespace {

struct Kind {
  bool (*fits)(const Case& c);
  Outputs (*run)(Case& c);
  double tolerance = 1e-10;  // in float64; rounding adds up over an optimizer's steps
};

const Kind kKinds[] = {
    {[](const Case& c) { return c.set("optimizer"); }, optimizing, 1e-9},
    {[](const Case& c) { return c.set("kind") && c.set("hidden_size"); }, recurrent},
    {[](const Case& c) { return c.begins("op_"); }, operations},
    {[](const Case& c) { return c.begins("bahdanau"); }, bahdanau},
    {[](const Case& c) { return c.begins("luong"); }, luong},
    {[](const Case& c) { return c.begins("clip_"); }, clipping},
    {[](const Case& c) { return c.has("input.tokens") && c.has("param.rnn.weight_ih_l0"); },
     char_model},
    {[](const Case& c) { return c.begins("ce_") || c.begins("cross_entropy"); },
     cross_entropy_loss},
    {[](const Case& c) { return c.begins("bce"); }, binary_cross_entropy},
    {[](const Case& c) { return c.begins("kl"); }, kl},
    {[](const Case& c) {
       return c.begins("mse") || c.begins("l1") || c.begins("huber") || c.begins("smooth_l1");
     },
     regression},
    {[](const Case& c) { return c.set("normalized_shape.0"); }, layer_normalisation},
    {[](const Case& c) { return c.has("input.indices") && c.has("param.weight"); },
     embedding_layer},
};

// Every difference between this case and what the library computes. Throws Unknown where the case is not understood.
std::vector<std::string> compare(const TensorFile& file, DType dtype, Device device) {
  Case c(file, dtype, device);
  const Kind* kind =
      std::find_if(std::begin(kKinds), std::end(kKinds), [&](const Kind& k) { return k.fits(c); });
  if (kind == std::end(kKinds)) throw Unknown("");
  const double tolerance = dtype == DType::float64 ? kind->tolerance : 2e-5;

  Tape tape;
  Outputs outputs = kind->run(c);
  const std::vector<std::string> gradients = c.names("grad.");
  if (c.has("output.loss") && !outputs.contains("loss")) {
    Var loss;
    for (const auto& [name, value] : outputs) {
      if (!c.has("input.w_" + name)) continue;
      Var term = sum(value * c.var("input.w_" + name));
      loss = loss.defined() ? loss + term : term;
    }
    if (!loss.defined()) throw Unknown("a loss without weights of outputs");
    outputs["loss"] = loss;
  }
  if (std::vector<std::string> unused = c.unused(); !unused.empty()) throw Unknown(unused[0]);

  std::vector<std::string> found;
  auto check = [&](const std::string& name, const Tensor& ours) {
    // RMSprop divides by roots that are almost 0: in 20 steps a rounding of 1e-7 becomes 1e-6 in parameters and 1e-5 in
    // the gradients there, more or less of it with the order of the sums, which is another one on a GPU.
    const bool moved = c.set("optimizer") && name.starts_with("output.grad.");
    const bool wide = moved && dtype == DType::float32 && device == Device::cuda;
    std::string text = difference(name, ours, c.stored(name), wide ? 1e-4 : tolerance);
    if (!text.empty()) found.push_back(text);
  };
  for (const std::string& name : c.names("output.")) {
    if (!outputs.contains(name)) throw Unknown("output." + name);
    check("output." + name, outputs[name].value());
  }
  if (!gradients.empty()) {
    std::vector<Var> wanted;
    for (const std::string& name : gradients) wanted.push_back(c.var(name));
    std::vector<Var> computed = tape.gradient(outputs.at("loss"), wanted);
    for (std::size_t i = 0; i < gradients.size(); ++i)
      check("grad." + gradients[i], computed[i].value());
  }
  return found;
}

struct Summary {
  int passed = 0;
  std::vector<std::string> failures;  // one text for each failed case
  std::vector<std::string> unknown;
};

// Runs all cases of a folder in both element types. Nothing where there is no case.
std::optional<Summary> run_folder(const std::filesystem::path& folder,
                                  Device device = Device::cpu) {
  std::vector<std::filesystem::path> files;
  if (!std::filesystem::is_directory(folder)) return std::nullopt;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".safetensors") files.push_back(entry.path());
  }
  if (files.empty()) return std::nullopt;
  std::sort(files.begin(), files.end());
  Summary summary;
  for (const auto& path : files) {
    std::string failure;
    try {
      TensorFile file = read_safetensors(path.string());
      for (DType dtype : {DType::float64, DType::float32}) {
        for (const std::string& text : compare(file, dtype, device)) {
          failure += std::string("\n  ") + name(dtype) + ": " + text;
        }
      }
    } catch (const Unknown& reason) {
      const std::string what = reason.what();
      summary.unknown.push_back(path.stem().string() + (what.empty() ? "" : " (" + what + ")"));
      continue;
    } catch (const std::exception& error) {
      failure += std::string("\n  ") + error.what();
    }
    if (failure.empty()) {
      ++summary.passed;
    } else {
      summary.failures.push_back(path.string() + failure);
    }
  }
  return summary;
}

void check_all(Device device) {
  const char* given = std::getenv("TAPELOOP_REFERENCE");
  const std::string folder = given != nullptr && *given != '\0' ? given : "tests/reference";
  std::optional<Summary> summary = run_folder(folder, device);
  if (!summary) {
    std::printf(
        "SKIPPED: no *.safetensors in %s; run in the repository root, or set TAPELOOP_REFERENCE to "
        "their folder\n",
        folder.c_str());
    return;
  }
  for (const std::string& failure : summary->failures) FAIL_CHECK(failure);
  std::string unknown;
  for (const std::string& name : summary->unknown) unknown += (unknown.empty() ? "" : ", ") + name;
  std::printf("reference on %s: %d passed, %d failed, unknown kinds: %s\n", name(device),
              summary->passed, static_cast<int>(summary->failures.size()),
              unknown.empty() ? "none" : unknown.c_str());
}

TEST_CASE("results and gradients agree with the reference cases") { check_all(Device::cpu); }

TEST_CASE("results and gradients agree with the reference cases on cuda") {
  if (!test::have_gpu()) return;
  const test::Bounds bounds;
  check_all(Device::cuda);
}

// A folder of its own for each test case, gone afterwards.
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
  std::optional<Summary> summary = run_folder(folder.path);
  REQUIRE(summary->failures.size() == 1);
  CHECK(summary->failures[0].find("one.safetensors") != std::string::npos);
  CHECK(summary->failures[0].find("grad.input.logits") != std::string::npos);
}

TEST_CASE("a damaged reference file is a failure that names it") {
  Folder folder;
  std::ofstream(folder.path / "broken.safetensors") << "not a tensor file";
  std::optional<Summary> summary = run_folder(folder.path);
  REQUIRE(summary->failures.size() == 1);
  CHECK(summary->failures[0].find("broken.safetensors") != std::string::npos);
}

TEST_CASE("a folder without reference cases is told apart from success") {
  Folder folder;
  CHECK_FALSE(run_folder(folder.path).has_value());
  CHECK_FALSE(run_folder(folder.path / "missing").has_value());
}

TEST_CASE("a case with an input that nothing uses is unknown, not passed") {
  Folder folder;
  write_safetensors((folder.path / "two.safetensors").string(),
                    {{"input.logits", Tensor::zeros({1, 2}, DType::float64)},
                     {"input.target", Tensor::zeros({1, 2}, DType::float64)},
                     {"input.pos_weight", Tensor::zeros({2}, DType::float64)},
                     {"output.loss", Tensor::from<double>({}, {std::log(2.0)})}},
                    {{"case", "bce_small"}, {"config", "{}"}});
  std::optional<Summary> summary = run_folder(folder.path);
  CHECK(summary->passed == 0);
  REQUIRE(summary->unknown.size() == 1);
  CHECK(summary->unknown[0] == "two (input.pos_weight)");
}

}  // namespace
}  // namespace reference
