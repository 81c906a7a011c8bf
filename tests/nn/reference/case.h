// SPDX-License-Identifier: MIT
// One case of tests/reference: its settings, its tensors, and the modules made from them. Knows no
// kind of case: reference_kinds.h does.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "tapeloop/autograd/autograd.h"
#include "tapeloop/autograd/files/safetensors.h"
#include "tapeloop/nn/nn.h"
#include "tests/nn/reference/settings.h"

namespace reference {

// Outputs by their names after "output." in the file.
using Outputs = std::map<std::string, Var>;

// No function here knows this case, or a tensor in it.
struct Unknown : Error {
  using Error::Error;
};

// A case in one element type, on one device: float tensors are converted. Parameters, and inputs
// with a derivative in the file, become parameters of the tape. Integers stay on the CPU, as in a
// user's program.
class Case : public Settings {
 public:
  Case(const TensorFile& file, DType dtype, Device device)
      : Settings(entry(file, "config")),
        name_(entry(file, "case")),
        dtype_(dtype),
        device_(device) {
    for (const NamedTensor& item : file.tensors) tensors_[item.name] = item.tensor;
    if (!file.unread.empty()) throw Unknown(file.unread[0].name + " cannot be read");
  }

  const std::string& name() const { return name_; }
  // The setting "kind"; else the case's name.
  std::string kind() const { return text("kind", name_); }
  DType dtype() const { return dtype_; }
  Device device() const { return device_; }
  bool named(std::string_view part) const { return name_.find(part) != std::string::npos; }
  bool begins(std::string_view start) const { return name_.starts_with(start); }

  // --- tensors ---
  bool has(const std::string& tensor) const { return tensors_.contains(tensor); }
  // The first of these names that the file has; "" if it has none.
  std::string first_of(std::initializer_list<const char*> names) const {
    for (const char* name : names) {
      if (has(name)) return name;
    }
    return "";
  }
  // Names after a prefix: names("output.") -> "y", "hn", ...
  std::vector<std::string> names(const std::string& prefix) const {
    std::vector<std::string> result;
    for (const auto& [name, tensor] : tensors_) {
      if (name.starts_with(prefix)) result.push_back(name.substr(prefix.size()));
    }
    return result;
  }
  // Unconverted, as in the file.
  const Tensor& stored(const std::string& tensor) const {
    const auto found = tensors_.find(tensor);
    if (found == tensors_.end()) throw Unknown(tensor + " is missing");
    return found->second;
  }
  // In the case's element type and on its device; integers stay unchanged. Marks it as used.
  Tensor tensor(const std::string& name) {
    used_.insert(name);
    const Tensor& found = stored(name);
    return found.dtype() == DType::int64 ? found : found.to(dtype_).clone().to(device_);
  }
  std::vector<std::int64_t> integers(const std::string& name) {
    return tensor(name).to_vector<std::int64_t>();
  }
  // The same if the file has it, else an empty list.
  std::vector<std::int64_t> integers_if(const std::string& name) {
    return has(name) ? integers(name) : std::vector<std::int64_t>{};
  }
  Tensor full(const Shape& shape, double value) const {
    return Tensor::full(shape, value, dtype_, device_);
  }
  // Returns the same Var each time.
  Var var(const std::string& name) {
    const auto found = vars_.find(name);
    if (found != vars_.end()) return found->second;
    const Tensor value = tensor(name);
    const bool trained = name.starts_with("param.") || has("grad." + name) || derived_by(name);
    return vars_[name] = trained ? parameter(value) : Var(value);
  }
  // The same if the file has it, else an undefined Var.
  Var var_if(const std::string& name) { return has(name) ? var(name) : Var(); }
  // All Vars of parameters that were used, by their names after "param.".
  ParameterList parameters() const {
    ParameterList result;
    for (const auto& [name, var] : vars_) {
      if (name.starts_with("param.")) result.push_back({name.substr(6), var});
    }
    return result;
  }

  // Loads the parameters "param.PREFIX..." into a module that has the same names.
  template <nn::Module M>
  void load(const std::string& prefix, const M& module) {
    StateDict saved;
    for (const std::string& name : names("param." + prefix))
      saved.push_back({name, stored("param." + prefix + name)});
    nn::assign(nn::parameters_under_all_names(module), saved, name_);
    nn::move(module, device_);
    for (const NamedVar& p : nn::parameters(module)) {
      used_.insert("param." + prefix + p.name);
      vars_["param." + prefix + p.name] = p.var;
    }
  }
  // The loaded module that make(random) returned. Later calls return the same module, so that an
  // optimizer can train it.
  template <nn::Module M>
  const M& module(const std::string& prefix, const std::function<M(Random&)>& make) {
    std::shared_ptr<void>& kept = modules_[prefix];
    if (kept == nullptr) {
      Random random(1);
      const auto made = std::make_shared<M>(make(random));
      load(prefix, *made);
      kept = made;
    }
    return *static_cast<const M*>(kept.get());
  }

  // Inputs and parameters that were never used: then this code misunderstands the case.
  std::vector<std::string> unused() const {
    std::vector<std::string> result;
    for (const auto& [name, tensor] : tensors_) {
      const bool given = name.starts_with("input.") || name.starts_with("param.");
      if (given && !used_.contains(name)) result.push_back(name);
    }
    return result;
  }

 private:
  // Whether an output is a derivative by this tensor: reference_loss.h.
  bool derived_by(const std::string& name) const {
    const std::string last = name.substr(name.find('.') + 1);
    for (const char* kind : {"output.grad", "output.hvp"}) {
      for (const std::string& by : {"_" + last, "." + last, "." + name}) {
        if (has(kind + by)) return true;
      }
    }
    return false;
  }
  static const std::string& entry(const TensorFile& file, const char* key) {
    const auto found = file.metadata.find(key);
    if (found == file.metadata.end())
      throw Error(std::string("the file's metadata have no \"") + key + "\"");
    return found->second;
  }

  std::string name_;
  DType dtype_;
  Device device_;
  std::map<std::string, Tensor> tensors_;
  std::map<std::string, Var> vars_;
  std::map<std::string, std::shared_ptr<void>> modules_;
  std::set<std::string> used_;
};

}  // namespace reference
