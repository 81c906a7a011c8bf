// SPDX-License-Identifier: MIT
// Weights to and from files, under PyTorch's names, so that they travel to Python and back.
// Whole training runs, with optimizer and random state, are saved by checkpoint.h.
#pragma once

#include <string>

#include "autograd/named.h"

namespace tapeloop::nn {

// Writes a safetensors file that Python's safetensors.torch.load_file reads: save(path, state_dict(model)).
// A file of that name is replaced as a whole or not at all. Throws as write_safetensors.
void save(const std::string& path, const StateDict& state);

// The tensors of a safetensors file, without those that read_safetensors() leaves unread. Throws FileError.
StateDict load(const std::string& path);

// Puts the tensors of a safetensors file into the parameters of the same names, as assign(). Tensors that
// read_safetensors() leaves unread, as those of 8-bit floating-point types, stop it only where a parameter needs one.
void load(const std::string& path, const ParameterList& parameters);

// Copies saved values into the parameters of the same names, float32 and float64 converted as needed; gradients
// stay. Throws one Error that lists every missing and surplus name and every other shape or type, and then changes
// nothing. `what` says in the message where the values come from.
// One parameter may stand in the list under several names, if its weights are tied. `saved` then needs one of them, and
// may have more only with the same values.
void assign(const ParameterList& parameters, const StateDict& saved, const std::string& what);

}  // namespace tapeloop::nn
