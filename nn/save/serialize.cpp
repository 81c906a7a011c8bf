// SPDX-License-Identifier: MIT
// Copies saved values into parameters: compares everything first, then copies everything.
// autograd/files/safetensors.h knows the file format.
#include "tapeloop/nn/save/serialize.h"

#include <fmt/format.h>

#include <cstring>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "tapeloop/autograd/files/safetensors.h"
#include "tapeloop/autograd/files/safetensors_header.h"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop::nn {
namespace {

using safetensors::shown;

bool is_float(const Tensor& tensor) { return tensor.defined() && tensor.dtype() != DType::int64; }

// Why the tensor cannot become the parameter's value; empty if it can.
std::string obstacle(const Tensor& saved, const Tensor& parameter, bool is_parameter) {
  // A buffer may be a count, which PyTorch has in int64.
  const bool fits = is_float(saved) || (!is_parameter && saved.defined());
  if (saved.shape() == parameter.shape() && fits) return {};
  return fmt::format("is {} in the saved state, {} in the model", saved.describe(),
                     parameter.describe());
}

// A parameter with all of its names.
struct Wanted {
  const Tensor* to;
  bool is_parameter;  // else a buffer
  std::vector<std::string> names;
};

std::string list_of(const std::vector<std::string>& names, const char* between) {
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "" : between) + shown(name);
  return list;
}

bool same_values(const Tensor& a, const Tensor& b, DType dtype) {
  const Tensor x = a.cpu().to(dtype).contiguous();
  const Tensor y = b.cpu().to(dtype).contiguous();
  const auto bytes = static_cast<std::size_t>(x.numel() * size_of(dtype));
  return bytes == 0 || std::memcmp(x.raw(), y.raw(), bytes) == 0;
}

// `called`: the function that the user called, for the message.
void assign_file(const char* called, const ParameterList& parameters, const TensorFile& saved,
                 const std::string& what) {
  std::string problems;
  std::unordered_map<std::string, const Tensor*> by_name;
  for (const NamedTensor& item : saved.tensors) {
    if (!by_name.emplace(item.name, &item.tensor).second) {
      problems += fmt::format("\n  {} is twice in the saved state", shown(item.name));
    }
  }
  std::unordered_map<std::string, const std::string*> unread;
  for (const UnreadTensor& item : saved.unread) unread.emplace(item.name, &item.problem);

  std::vector<Wanted> wanted;
  std::unordered_map<const tapeloop::detail::VarBody*, std::size_t> places;
  std::unordered_set<std::string> names;
  for (const NamedVar& item : parameters) {
    if (!names.insert(item.name).second) {
      problems += fmt::format("\n  {} is the name of two parameters", shown(item.name));
    }
    const auto [place, is_new] = places.emplace(item.var.body(), wanted.size());
    if (is_new) wanted.push_back({&item.var.value(), item.var.is_parameter(), {}});
    wanted[place->second].names.push_back(item.name);
  }

  std::vector<std::pair<const Tensor*, const Tensor*>> copies;  // to, from
  for (const Wanted& parameter : wanted) {
    const Tensor& to = *parameter.to;
    const Tensor* from = nullptr;
    std::string from_name, problem, not_read;
    for (const std::string& name : parameter.names) {
      if (const auto found = unread.find(name); found != unread.end()) {
        not_read += fmt::format("\n  {} {}", shown(name), *found->second);
        continue;
      }
      const auto found = by_name.find(name);
      if (found == by_name.end()) continue;
      const std::string unfit = obstacle(*found->second, to, parameter.is_parameter);
      if (!unfit.empty()) {
        problem += fmt::format("\n  {} {}", shown(name), unfit);
      } else if (from == nullptr) {
        from = found->second;
        from_name = name;
      } else if (!same_values(*from, *found->second, to.dtype())) {
        problem += fmt::format(
            "\n  {} and {} have different values in the saved state, but are one parameter in the "
            "model; save one of them",
            shown(from_name), shown(name));
      }
    }
    // One readable name is enough: the parameter's other names hold the same values.
    if (from == nullptr) problem += not_read;
    if (from == nullptr && problem.empty()) {
      problem = fmt::format("\n  {} {} is missing in the saved state",
                            list_of(parameter.names, " or "), to.describe());
    }
    problems += problem;
    copies.emplace_back(&to, from);
  }
  for (const NamedTensor& item : saved.tensors) {
    if (!names.contains(item.name)) {
      problems +=
          fmt::format("\n  {} {} is not in the model", shown(item.name), item.tensor.describe());
    }
  }
  if (!problems.empty()) {
    const bool checkpoint = saved.metadata.contains("tapeloop.checksum");
    fail(called,
         fmt::format("{} does not fit the model, and nothing was changed:{}\n  {}", what, problems,
                     checkpoint ? "It is a checkpoint: read it by read_checkpoint(), and give its "
                                  "section of the model to load_state_dict()."
                                : "Build the model with the settings it had when it was saved, and "
                                  "give its parts the names that they had."));
  }
  // A value may share memory with a parameter that is overwritten here, e.g. if two layers swap
  // weights. So it is copied first.
  std::vector<Tensor> own;
  own.reserve(copies.size());
  for (auto& [to, from] : copies) {
    if (from->shares_memory_with_others()) from = &own.emplace_back(from->clone());
  }
  for (const auto& [to, from] : copies) to->copy_from(*from);
}

}  // namespace

void save(const std::string& path, const StateDict& state) {
  write_safetensors(path, state, {{"format", "pt"}});
}

StateDict load(const std::string& path) { return read_safetensors(path).tensors; }

void load(const std::string& path, const ParameterList& parameters) {
  assign_file("load", parameters, read_safetensors(path), path);
}

void assign(const ParameterList& parameters, const StateDict& saved, const std::string& what) {
  assign_file("assign", parameters, TensorFile{saved, {}}, what);
}

void detail::load_state_dict(const ParameterList& parameters, const StateDict& saved,
                             const std::string& what) {
  assign_file("load_state_dict", parameters, TensorFile{saved, {}}, what);
}

}  // namespace tapeloop::nn
