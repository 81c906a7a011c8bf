// SPDX-License-Identifier: MIT
// Reads and writes named tensors in safetensors files, a format of Hugging Face (2022) for PyTorch
// and others. The files contain values and texts, but no code. Reads tensors to the CPU.
// Little-endian machines only.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tapeloop/autograd/tensor/state_dict.h"

namespace tapeloop {

using Metadata = std::map<std::string, std::string>;  // texts by name

// A tensor of the file that cannot be read, and why.
struct UnreadTensor {
  std::string name;     // of the tensor
  std::string problem;  // "has the element type F8_E4M3, which is not supported; ..."
};

// All that a file contains.
struct TensorFile {
  StateDict tensors;                      // in the order of their data in the file
  Metadata metadata;                      // the texts of the header's "__metadata__"
  std::vector<UnreadTensor> unread = {};  // well-formed tensors that a Tensor cannot hold
};

// Reads a whole file. F32, F64 and I64 stay as they are; F16 and BF16 become float32; BOOL, U8, I8,
// U16, I16, U32, I32 and U64 become int64. `unread` lists the tensors that have another element
// type, more than 6 axes, or a U64 above 2^63 - 1; nn::load() throws if a model needs one of them.
// Like the reference reader, ignores unknown fields of a tensor and metadata that are not strings.
// Throws FileError for every other departure from the format; the message names the file and the
// tensor. A damaged header cannot make the reader take more memory than about ten times the file.
TensorFile read_safetensors(const std::string& path);

// Makes or replaces the file (by NewFile). Tensors may have any strides and device; they are
// written row-major, sorted by element size, largest first, then by name. So every element is
// aligned. Throws Error for names that are given twice, names or metadata that are not UTF-8, and
// undefined tensors; FileError with the system's reason if the file cannot be written.
void write_safetensors(const std::string& path, const StateDict& tensors,
                       const Metadata& metadata = {});

}  // namespace tapeloop
