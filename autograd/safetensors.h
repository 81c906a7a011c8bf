// SPDX-License-Identifier: MIT
// Named tensors in safetensors files, the format that PyTorch and others read and write (Hugging Face, 2022).
// Values and texts only, no code; tensors on the CPU only. Little-endian machines only.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "autograd/named.h"

namespace tapeloop {

using Metadata = std::map<std::string, std::string>;

struct UnreadTensor {
  std::string name;
  std::string problem;  // "has the element type F8_E4M3, which is not read here; ..."
};

struct TensorFile {
  StateDict tensors;                      // in the order of their data in the file
  Metadata metadata;                      // the texts of the header's "__metadata__"
  std::vector<UnreadTensor> unread = {};  // well-formed tensors that a Tensor cannot hold
};

// Reads a whole file. F32, F64 and I64 come as they are; F16 and BF16 as float32; BOOL, U8, I8, U16, I16, U32,
// I32 and U64 as int64. Tensors that are of other element types, have more than 6 axes or hold a U64 above 2^63 - 1 are
// listed in `unread`; nn::load() throws where a model needs one. As in the reference reader, fields of a tensor that the
// format does not have are passed over, and so are metadata that are no texts.
// Throws FileError for every other departure from the format: the message names the file and the tensor. A damaged header
// cannot make it take more memory than about ten times the file.
TensorFile read_safetensors(const std::string& path);

// Replaces or makes the file (see NewFile: never half a file). Tensors of any strides and device are written row-major. Data are
// sorted by element size, largest first, then by name, so that every element is aligned. Throws Error for names
// given twice, names or metadata that are not UTF-8, and undefined tensors; FileError with the system's
// reason if the file cannot be written.
void write_safetensors(const std::string& path, const StateDict& tensors,
                       const Metadata& metadata = {});

}  // namespace tapeloop
