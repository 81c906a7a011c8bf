// SPDX-License-Identifier: MIT
// safetensors files: reads them, writes them and reads them again.
#include "tapeloop/autograd/files/safetensors.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/autograd/tensor/memory.h"
#include "tests/fuzz/targets.h"

namespace tapeloop::fuzz {
namespace {

// An element of 1 byte becomes 8 bytes; an empty tensor still has a name.
constexpr std::int64_t kMostGrowth = 8;

std::map<std::string, Tensor> by_name(const StateDict& tensors) {
  std::map<std::string, Tensor> result;
  for (const NamedTensor& item : tensors) {
    expect(result.emplace(item.name, item.tensor).second, "a name is read twice");
  }
  return result;
}

std::size_t byte_count(const Tensor& tensor) {
  return static_cast<std::size_t>(tensor.numel() * size_of(tensor.dtype()));
}

void expect_same(const TensorFile& a, const TensorFile& b) {
  expect(a.metadata == b.metadata, "metadata written and read again are equal");
  const auto first = by_name(a.tensors), second = by_name(b.tensors);
  expect(first.size() == second.size(), "as many tensors are read again as were written");
  for (const auto& [name, tensor] : first) {
    const auto found = second.find(name);
    expect(found != second.end(), "every name is read again");
    const Tensor& other = found->second;
    expect(tensor.shape() == other.shape() && tensor.dtype() == other.dtype(),
           "shapes and types are read again");
    const std::size_t bytes = byte_count(tensor);
    expect(bytes == 0 || std::memcmp(tensor.raw(), other.raw(), bytes) == 0,
           "elements are read again bit for bit");
  }
}

void try_file(const std::string& path, std::size_t size) {
  TensorFile file;
  try {
    file = read_safetensors(path);
  } catch (const FileError& error) {
    expect_message(error, path);
    return;
  }
  std::int64_t bytes = 0;
  for (const NamedTensor& item : file.tensors) {
    bytes += static_cast<std::int64_t>(byte_count(item.tensor));
  }
  expect(bytes <= kMostGrowth * static_cast<std::int64_t>(size),
         "the elements take no more than eight times the file");
  const std::string again = scratch_file("again.safetensors");
  write_safetensors(again, file.tensors, file.metadata);
  const TensorFile second = read_safetensors(again);
  expect_same(file, second);
  const std::string third = scratch_file("third.safetensors");
  write_safetensors(third, second.tensors, second.metadata);
  expect(bytes_of(again) == bytes_of(third), "the same tensors make the same file");
}

// Makes a file with this header: puts its length in front and pads with blanks to a multiple of 8.
std::string file_of(std::string header, std::string_view data) {
  header.append((8 - header.size() % 8) % 8, ' ');
  const std::uint64_t length = header.size();
  std::string bytes(sizeof length, '\0');
  std::memcpy(bytes.data(), &length, sizeof length);
  return bytes + header + std::string(data);
}

}  // namespace

void try_safetensors(std::string_view bytes) {
  const std::string path = scratch_file("input.safetensors");
  put(path, bytes);
  try_file(path, bytes.size());
  memory::release_cached();  // so that the address sanitizer sees each block end
}

std::vector<std::string> safetensors_seeds() {
  const std::string path = scratch_file("seed.safetensors");
  write_safetensors(path,
                    {{"weight", Tensor::from<float>({2, 3}, {1, 2, 3, 4, 5, 6})},
                     {"bias", Tensor::from<double>({2}, {0.5, -0.5})},
                     {"step", Tensor::from<std::int64_t>({}, {7})},
                     {"empty", Tensor::zeros({0, 4})}},
                    {{"format", "pt"}, {"text", "Gr\xC3\xBCn\n"}});
  std::vector<std::string> seeds = {bytes_of(path), file_of("{}", "")};
  // The other element types of the format, two elements of each.
  for (const char* type : {"F16", "BF16", "BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64"}) {
    const std::string_view name = type;
    const std::size_t size = name.ends_with("64")   ? 8
                             : name.ends_with("32") ? 4
                             : name.ends_with("16") ? 2
                                                    : 1;
    const std::string end = std::to_string(2 * size);
    seeds.push_back(file_of("{\"x\":{\"dtype\":\"" + std::string(name) +
                                "\",\"shape\":[2],\"data_offsets\":[0," + end + "]}}",
                            std::string(2 * size, '\1')));
  }
  return seeds;
}

}  // namespace tapeloop::fuzz
