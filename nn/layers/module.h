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

// Visits the parameters, buffers and random states of a module and of the modules in it; joins
// names by dots. A buffer is a tensor that is saved, loaded, moved and converted with the
// parameters, but that no optimizer changes: the running mean of a BatchNorm.
class Visitor {
 public:
  virtual ~Visitor() = default;
  void operator()(std::string_view name, const Var& parameter) {
    // A layer without a bias has no name for it.
    if (parameter.defined()) on_parameter(path_ + std::string(name) + suffix_, parameter);
  }
  // A buffer; an undefined one is left out.
  void buffer(std::string_view name, const Var& values) {
    if (values.defined()) on_buffer(path_ + std::string(name) + suffix_, values);
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
  // Called with the whole name of each parameter; on_buffer(): of each buffer; on_random(): of each
  // stream of random numbers.
  virtual void on_parameter(const std::string& name, const Var& parameter) = 0;
  virtual void on_buffer(const std::string&, const Var&) {}
  virtual void on_random(const std::string&, Random&) {}

 private:
  std::string path_;
  std::string suffix_;
};

namespace detail {
// Removes parameters that are in the list already under another name.
ParameterList without_repeats(ParameterList parameters);
struct Collector final : Visitor {
  ParameterList parameters, buffers;
  std::vector<std::pair<std::string, Random*>> randoms;
  void on_parameter(const std::string& name, const Var& parameter) override {
    parameters.push_back({name, parameter});
  }
  void on_buffer(const std::string& name, const Var& values) override {
    buffers.push_back({name, values});
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

namespace detail {
// The same with the buffers.
template <Module M>
ParameterList under_all_names(const M& module) {
  Collector collector;
  module.visit(collector);
  ParameterList result = std::move(collector.parameters);
  for (NamedVar& buffer : collector.buffers) result.push_back(std::move(buffer));
  return result;
}
}  // namespace detail

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

// The buffers of a module by their names, each once.
template <Module M>
ParameterList buffers(const M& module) {
  detail::Collector collector;
  module.visit(collector);
  return detail::without_repeats(std::move(collector.buffers));
}
// Its parameters, then its buffers: all that a file of the model has.
template <Module M>
ParameterList parameters_and_buffers(const M& module) {
  ParameterList result = parameters(module);
  for (NamedVar& buffer : buffers(module)) result.push_back(std::move(buffer));
  return result;
}

// The values of all parameters and buffers by name, without a copy: the tensors share the memory of
// the parameters and change with it. For a file that is written at once.
template <Module M>
StateDict shared_state_dict(const M& module) {
  StateDict result;
  for (const NamedVar& p : parameters_and_buffers(module)) {
    result.push_back({p.name, p.var.value()});
  }
  return result;
}
// Copies of the values of all parameters and buffers by name. Later steps do not change the copies.
// Cost: the memory of the parameters.
template <Module M>
StateDict state_dict(const M& module) {
  StateDict result = shared_state_dict(module);
  for (NamedTensor& item : result) item.tensor = item.tensor.clone();
  return result;
}
// Copies saved values into the parameters and buffers. Throws one Error that lists all missing and
// surplus names and all wrong shapes. A tied parameter may be saved under any of its names, and
// under several names only with the same value.
template <Module M>
void load_state_dict(const M& module, const StateDict& saved,
                     const std::string& what = "the saved state") {
  detail::load_state_dict(detail::under_all_names(module), saved, what);
}
// Writes a safetensors file of all parameters and buffers, without a copy in memory. A tied
// parameter is written once.
template <Module M>
void save(const std::string& path, const M& module) {
  save(path, shared_state_dict(module));
}
// Reads such a file, as load_state_dict() does.
template <Module M>
void load(const std::string& path, const M& module) {
  load(path, detail::under_all_names(module));
}

// Converts every parameter and buffer, e.g. to float64 to verify a model that trains in float32.
// Removes gradients.
template <Module M>
void convert(const M& module, DType dtype) {
  for (const NamedVar& p : parameters_and_buffers(module)) p.var.set_value(p.var.value().to(dtype));
}

// Moves every parameter and buffer: nn::move(model, Device::cuda) before making an optimizer.
// Removes gradients.
template <Module M>
void move(const M& module, Device device) {
  for (const NamedVar& p : parameters_and_buffers(module))
    p.var.set_value(p.var.value().to(device));
}

// The number of elements of all parameters.
template <Module M>
std::int64_t parameter_count(const M& module) {
  std::int64_t count = 0;
  for (const NamedVar& p : parameters(module)) count += p.var.numel();
  return count;
}

}  // namespace tapeloop::nn
