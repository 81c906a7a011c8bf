// SPDX-License-Identifier: MIT
// Reads and writes weights in files under PyTorch's names, for exchange with Python. For whole
// training runs, with optimizer and random state, see checkpoint.h.
#pragma once

#include <string>

#include "tapeloop/autograd/tape/named.h"

namespace tapeloop::nn {

// Writes a safetensors file that Python's safetensors.torch.load_file reads:
// save(path, state_dict(model)). An older file is replaced completely or not at all.
// Throws as write_safetensors().
void save(const std::string& path, const StateDict& state);

// Reads the tensors of a safetensors file, without those that read_safetensors() leaves unread.
// Throws FileError.
StateDict load(const std::string& path);

// Copies the tensors of a safetensors file into the parameters of the same names, as assign() does.
// A tensor that read_safetensors() leaves unread (an 8-bit floating-point type, for example) is an
// error only if a parameter needs it.
void load(const std::string& path, const ParameterList& parameters);

// Copies saved values into the parameters of the same names; converts float32 and float64 if
// needed. Gradients stay. Throws one Error that lists every missing and surplus name and every
// wrong shape or type, and then changes nothing. `what` names the source of the values in the
// message. If weights are tied, one parameter may be in the list under several names. `saved` then
// needs only one of these names, and may have more only with the same values.
void assign(const ParameterList& parameters, const StateDict& saved, const std::string& what);

namespace detail {
void load_state_dict(const ParameterList& parameters, const StateDict& saved,
                     const std::string& what);
}

}  // namespace tapeloop::nn
