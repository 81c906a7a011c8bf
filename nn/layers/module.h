// SPDX-License-Identifier: MIT
// Modules: any struct with
//   void visit(nn::Visitor& v) const { v("weight", weight); v("encoder", encoder); }
// visit gives names, parameters, saving, loading and conversion. No base class and no training
// mode: a layer that acts differently in training checks whether a tape records.
// A Var is a handle, so a copy of the struct shares its parameters. For a model with
// its own parameters, build a second one like the first and call
// load_state_dict(second, state_dict(first)).
#pragma once

#include <concepts>
#include <string>
#include <string_view>
#include <vector>

#include "tapeloop/autograd/number/random.h"
#include "tapeloop/autograd/tape/named.h"
#include "tapeloop/nn/save/serialize.h"

namespace tapeloop::nn {

class Visitor;

template <class M>
concept Module = requires(const M& module, Visitor& visitor) {
  module.visit(visitor);
};

// Visits the parameters and random states of a module and of the modules
// in it; joins names by dots.
class Visitor {
 public:
  virtual ~Visitor() = default;
  void operator()(std::string_view name, const Var& parameter) {
    // A layer without a bias has no name for it.
    if (parameter.defined()) on_parameter(path_ + std::string(name) + suffix_, parameter);
  }
  void operator()(std::string_view name, Random& random) {
    on_random(path_ + std::string(name) + suffix_, random);
  }
  template <Module M>
  void operator()(std::string_view name, const M& module) {
    std::size_t length = path_.size();
    path_.append(name).append(".");
    module.visit(*this);
    path_.resize(length);
  }
  template <Module M>
  void operator()(std::string_view name, const std::vector<M>& modules) {
    for (std::size_t i = 0; i < modules.size(); ++i) {
      (*this)(std::string(name).append(".").append(std::to_string(i)), modules[i]);
    }
  }
  // Visits the module with a suffix for all names, such as _l0: PyTorch names
  // the layers of a stack so.
  template <Module M>
  void suffixed(std::string_view suffix, const M& module) {
    std::string before = std::exchange(suffix_, std::string(suffix));
    module.visit(*this);
    suffix_ = before;
  }

 protected:
  // Called with the whole name of each parameter; on_random(): of each stream of random numbers.
  virtual void on_parameter(const std::string& name, const Var& parameter) = 0;
  virtual void on_random(const std::string&, Random&) {}

 private:
  std::string path_;
  std::string suffix_;
};

namespace detail {
// Removes parameters that are in the list already under another name.
ParameterList without_repeats(ParameterList parameters);
struct Collector final : Visitor {
  ParameterList parameters;
  std::vector<std::pair<std::string, Random*>> randoms;
  void on_parameter(const std::string& name, const Var& parameter) override {
    parameters.push_back({name, parameter});
  }
  void on_random(const std::string& name, Random& random) override {
    randoms.emplace_back(name, &random);
  }
};
}  // namespace detail

// All names of all parameters: a tied parameter is listed under each of its names. For assign();
// use parameters() for everything else.
template <Module M>
ParameterList parameters_under_all_names(const M& module) {
  detail::Collector collector;
  module.visit(collector);
  return collector.parameters;
}

// The parameters of a module by PyTorch's names; of several modules as "0.weight",
// "1.weight", ..., in the order given. Weights are tied if a module visits one Var under
// several names. A tied parameter is listed once, under its first name, so that it is
// counted, clipped, updated and saved once.
template <Module M>
ParameterList parameters(const M& module) {
  return detail::without_repeats(parameters_under_all_names(module));
}
// Those of several modules.
template <Module First, Module... Rest>
requires(sizeof...(Rest) > 0) ParameterList parameters(const First& first, const Rest&... rest) {
  detail::Collector collector;
  int i = 0;
  collector(std::to_string(i++), first);
  (collector(std::to_string(i++), rest), ...);
  return detail::without_repeats(std::move(collector.parameters));
}

// The random states of a module (its dropouts), which checkpoints save and restore.
template <Module M>
std::vector<std::pair<std::string, Random*>> randoms(const M& module) {
  detail::Collector collector;
  module.visit(collector);
  return collector.randoms;
}

// The values of all parameters by name, without a copy: the tensors share the parameters' memory
// and change with it. For a file that is written at once.
template <Module M>
StateDict shared_state_dict(const M& module) {
  StateDict result;
  for (const NamedVar& p : parameters(module)) result.push_back({p.name, p.var.value()});
  return result;
}
// Copies of the values of all parameters by name. Later steps do not change the copies. Cost: the
// memory of the parameters.
template <Module M>
StateDict state_dict(const M& module) {
  StateDict result = shared_state_dict(module);
  for (NamedTensor& item : result) item.tensor = item.tensor.clone();
  return result;
}
// Copies saved values into the parameters. Throws one Error that lists all missing and surplus
// names and all wrong shapes. A tied parameter may be saved under any of its names, and under
// several names only with the same value.
template <Module M>
void load_state_dict(const M& module, const StateDict& saved,
                     const std::string& what = "the saved state") {
  detail::load_state_dict(parameters_under_all_names(module), saved, what);
}
// Writes a safetensors file of all parameters, without a copy in memory. A tied parameter is
// written once.
template <Module M>
void save(const std::string& path, const M& module) {
  save(path, shared_state_dict(module));
}
// Reads such a file, as load_state_dict() does.
template <Module M>
void load(const std::string& path, const M& module) {
  load(path, parameters_under_all_names(module));
}

// Converts every parameter, e.g. to float64 to verify a model that trains in
// float32. Removes gradients.
template <Module M>
void convert(const M& module, DType dtype) {
  for (const NamedVar& p : parameters(module)) p.var.set_value(p.var.value().to(dtype));
}

// Moves every parameter: nn::move(model, Device::cuda) before making an
// optimizer. Removes gradients.
template <Module M>
void move(const M& module, Device device) {
  for (const NamedVar& p : parameters(module)) p.var.set_value(p.var.value().to(device));
}

// The number of elements of all parameters.
template <Module M>
std::int64_t parameter_count(const M& module) {
  std::int64_t count = 0;
  for (const NamedVar& p : parameters(module)) count += p.var.numel();
  return count;
}

}  // namespace tapeloop::nn
