// SPDX-License-Identifier: MIT
// Weights to and from files, under PyTorch's names, so that they travel to Python and back.
// Whole training runs, with optimizer and random state, are saved by checkpoint.h.
#pragma once

#include <string>

#include "tapeloop/autograd/tape/named.h"

namespace tapeloop::nn {

// Writes a safetensors file that Python's safetensors.torch.load_file reads: save(path, state_dict(model)).
// A file of that name is replaced as a whole or not at all. Throws as write_safetensors.
void save(const std::string& path, const StateDict& state);

// Reads the tensors of a safetensors file, without those that read_safetensors() leaves unread.
// Throws FileError.
StateDict load(const std::string& path);

// Copies the tensors of a safetensors file into the parameters of the same names, as assign() does.
// A tensor that read_safetensors() leaves unread (an 8-bit floating-point type, for example) is an
// error only if a parameter needs it.
void load(const std::string& path, const ParameterList& parameters);

// Copies saved values into the parameters of the same names, float32 and float64 converted as needed; gradients
// stay. Throws one Error that lists every missing and surplus name and every other shape or type, and then changes
// nothing. `what` says in the message where the values come from.
// If weights are tied, one parameter may be in the list under several names. `saved` then needs
// only one of these names, and may have more only with the same values.
void assign(const ParameterList& parameters, const StateDict& saved, const std::string& what);

}  // namespace tapeloop::nn
