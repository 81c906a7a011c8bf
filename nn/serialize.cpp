// SPDX-License-Identifier: MIT
// Saved values into parameters: everything is compared first, then everything is copied.
// The file format is autograd/safetensors.h's.
#include "nn/serialize.h"

#include <fmt/format.h>

#include <unordered_map>
#include <utility>
#include <vector>

#include "autograd/error.h"
#include "autograd/safetensors.h"
#include "autograd/safetensors_header.h"

namespace tapeloop::nn {
namespace {

using safetensors::shown;

bool is_float(const Tensor& tensor) { return tensor.defined() && tensor.dtype() != DType::int64; }

// Why the tensor cannot become the parameter's value; empty where it can.
std::string obstacle(const Tensor& saved, const Tensor& parameter) {
  if (saved.shape() == parameter.shape() && is_float(saved)) return {};
  return fmt::format("is {} there, {} in the model", saved.describe(), parameter.describe());
}

}  // namespace

void save(const std::string& path, const StateDict& state) {
  write_safetensors(path, state, {{"format", "pt"}});
}

StateDict load(const std::string& path) { return read_safetensors(path).tensors; }

void assign(const ParameterList& parameters, const StateDict& saved, const std::string& what) {
  std::string problems;
  std::unordered_map<std::string, const Tensor*> by_name;
  for (const NamedTensor& item : saved) {
    if (!by_name.emplace(item.name, &item.tensor).second) {
      problems += fmt::format("\n  {} is there twice", shown(item.name));
    }
  }
  std::unordered_map<std::string, const Var*> wanted;
  for (const NamedVar& item : parameters) {
    if (!wanted.emplace(item.name, &item.var).second) {
      problems += fmt::format("\n  {} is the name of two parameters", shown(item.name));
    }
  }

  std::vector<std::pair<const Tensor*, const Tensor*>> copies;  // to, from
  for (const NamedVar& item : parameters) {
    const Tensor& to = item.var.value();
    const auto found = by_name.find(item.name);
    if (found == by_name.end()) {
      problems += fmt::format("\n  {} {} is missing there", shown(item.name), to.describe());
      continue;
    }
    const std::string problem = obstacle(*found->second, to);
    if (!problem.empty()) problems += fmt::format("\n  {} {}", shown(item.name), problem);
    copies.emplace_back(&to, found->second);
  }
  for (const NamedTensor& item : saved) {
    if (!wanted.contains(item.name)) {
      problems +=
          fmt::format("\n  {} {} is not in the model", shown(item.name), item.tensor.describe());
    }
  }
  if (!problems.empty()) {
    fail("assign",
         fmt::format(
             "{} does not fit the model, and nothing was changed:{}\n  Build the model with the "
             "settings it had when it was saved.",
             what, problems));
  }
  // A value that is still some model's memory could change under the copying: two layers that swap their weights.
  std::vector<Tensor> own;
  own.reserve(copies.size());
  for (auto& [to, from] : copies) {
    if (from->shares_memory_with_others()) from = &own.emplace_back(from->clone());
  }
  for (const auto& [to, from] : copies) to->copy_from(*from);
}

}  // namespace tapeloop::nn
