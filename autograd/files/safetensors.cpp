// SPDX-License-Identifier: MIT
// safetensors: 8 bytes of header length, a JSON header, then the elements of all tensors, no gaps.
// Checks the header against the file; safetensors_header.cpp parses the text of the header.
#include "tapeloop/autograd/files/safetensors.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "tapeloop/autograd/files/files.h"
#include "tapeloop/autograd/files/safetensors_header.h"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop {
namespace {

static_assert(std::endian::native == std::endian::little,
              "the elements in the file are little-endian");
static_assert(sizeof(float) == 4 && sizeof(double) == 8);

using safetensors::bad;
using safetensors::Entry;
using safetensors::kDamaged;
using safetensors::kMetadata;
using safetensors::shown;

constexpr std::uint64_t kMaxHeader = 100'000'000;

// --- element types ---

float from_half(std::uint16_t half) {
  const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000u) << 16;
  const std::uint32_t exponent = half >> 10 & 0x1fu;
  const std::uint32_t mantissa = half & 0x3ffu;
  if (exponent == 0) {  // zero or subnormal: a multiple of 2^-24
    return std::bit_cast<float>(
        std::bit_cast<std::uint32_t>(static_cast<float>(mantissa) * 0x1p-24f) | sign);
  }
  const std::uint32_t wide = exponent == 31 ? 255 : exponent + 112;
  return std::bit_cast<float>(sign | wide << 23 | mantissa << 13);
}

float from_bfloat(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

// Each converts `count` elements. False if one of them is not a value of the type or does not fit.
template <float (*Convert)(std::uint16_t)>
bool widen_float(const char* from, std::size_t count, char* to) {
  for (std::size_t i = 0; i < count; ++i) {
    std::uint16_t bits;
    std::memcpy(&bits, from + 2 * i, 2);
    const float value = Convert(bits);
    std::memcpy(to + 4 * i, &value, 4);
  }
  return true;
}

template <class From, std::uint64_t Largest = std::numeric_limits<std::int64_t>::max()>
bool widen_integer(const char* from, std::size_t count, char* to) {
  for (std::size_t i = 0; i < count; ++i) {
    From value;
    std::memcpy(&value, from + sizeof(From) * i, sizeof(From));
    if (std::cmp_greater(value, Largest)) return false;
    const auto wide = static_cast<std::int64_t>(value);
    std::memcpy(to + 8 * i, &wide, 8);
  }
  return true;
}

struct FileType {
  const char* name;
  std::int64_t bytes;
  DType dtype;                                                     // as read
  bool (*convert)(const char* from, std::size_t count, char* to);  // null: copies the bytes
};

constexpr FileType kFileTypes[] = {
    {"F32", 4, DType::float32, nullptr},
    {"F64", 8, DType::float64, nullptr},
    {"I64", 8, DType::int64, nullptr},
    {"F16", 2, DType::float32, widen_float<from_half>},
    {"BF16", 2, DType::float32, widen_float<from_bfloat>},
    {"BOOL", 1, DType::int64, widen_integer<std::uint8_t, 1>},
    {"U8", 1, DType::int64, widen_integer<std::uint8_t>},
    {"I8", 1, DType::int64, widen_integer<std::int8_t>},
    {"U16", 2, DType::int64, widen_integer<std::uint16_t>},
    {"I16", 2, DType::int64, widen_integer<std::int16_t>},
    {"U32", 4, DType::int64, widen_integer<std::uint32_t>},
    {"I32", 4, DType::int64, widen_integer<std::int32_t>},
    {"U64", 8, DType::int64, widen_integer<std::uint64_t>},
};

const char* file_name(DType dtype) {
  for (const FileType& type : kFileTypes) {
    if (type.dtype == dtype) return type.name;
  }
  return "";
}

// --- reading ---

const FileType* type_of(const Entry& entry) {
  const auto* found = std::find_if(std::begin(kFileTypes), std::end(kFileTypes),
                                   [&](const FileType& type) { return entry.dtype == type.name; });
  return found == std::end(kFileTypes) ? nullptr : found;
}

// The reason why no Tensor can hold the entry; empty if one can.
std::string obstacle(const Entry& entry) {
  if (type_of(entry) == nullptr) {
    std::vector<const char*> known;
    for (const FileType& type : kFileTypes) known.push_back(type.name);
    return fmt::format(
        "has the element type {}, which is not supported; expected one of {}; "
        "convert it in the program that wrote the file",
        shown(entry.dtype), fmt::join(known, ", "));
  }
  if (entry.sizes.size() > kMaxRank) {
    return fmt::format(
        "has {} axes; at most {} are supported; reshape it in the program that wrote the "
        "file",
        entry.sizes.size(), kMaxRank);
  }
  return {};
}

// Checks that the sizes fit the bytes of the tensor in the file, if its element type is known.
void check_sizes(const std::string& path, const Entry& entry) {
  const FileType* type = type_of(entry);
  std::int64_t most = type == nullptr ? 1 : type->bytes;
  bool fits = true;  // sizes of 0 count as 1 here: strides must not overflow either
  std::uint64_t count = 1;
  for (const std::uint64_t size : entry.sizes) {
    fits = fits && std::in_range<std::int64_t>(size) &&
           !__builtin_mul_overflow(most, std::max<std::int64_t>(static_cast<std::int64_t>(size), 1),
                                   &most);
    count *= size;
  }
  const std::size_t some = std::min<std::size_t>(entry.sizes.size(), 20);
  const std::string given =
      fmt::format("[{}{}]", fmt::join(entry.sizes.data(), entry.sizes.data() + some, ", "),
                  some < entry.sizes.size() ? ", ..." : "");
  if (!fits) {
    bad(path, fmt::format("tensor {} has shape {}, more bytes than 63 bits can count; {}",
                          shown(entry.name), given, kDamaged));
  }
  const auto [begin, end] = entry.offsets;
  const std::uint64_t bytes =
      type == nullptr ? end - begin : count * static_cast<std::uint64_t>(type->bytes);
  if (end < begin || end - begin != bytes) {
    bad(path,
        fmt::format("tensor {} is {} {} and needs {} bytes, but its data_offsets are {} to {}; {}",
                    shown(entry.name), type == nullptr ? shown(entry.dtype) : type->name, given,
                    type == nullptr ? "some" : std::to_string(bytes), begin, end, kDamaged));
  }
}

Shape shape_of(const Entry& entry) {
  std::array<std::int64_t, kMaxRank> sizes{};
  std::copy(entry.sizes.begin(), entry.sizes.end(), sizes.begin());
  return Shape(std::span<const std::int64_t>(sizes.data(), entry.sizes.size()));
}

// Sorts the entries by their position in the file and checks that they cover all data exactly once.
void check_cover(const std::string& path, std::vector<Entry>& entries, std::uint64_t data_bytes) {
  std::stable_sort(entries.begin(), entries.end(),
                   [](const Entry& a, const Entry& b) { return a.offsets < b.offsets; });
  std::uint64_t covered = 0;
  for (const Entry& entry : entries) {
    if (entry.offsets[0] != covered) {
      bad(path,
          fmt::format("the data of tensor {} begin at {}; expected {}, the end of those before: "
                      "data must {}; {}",
                      shown(entry.name), entry.offsets[0], covered,
                      entry.offsets[0] < covered ? "not overlap" : "have no holes", kDamaged));
    }
    covered = entry.offsets[1];
  }
  if (covered != data_bytes) {
    bad(path, fmt::format(
                  "{} bytes of data follow the header; expected {}, the end of the last tensor; {}",
                  data_bytes, covered, kDamaged));
  }
}

std::string read_header(const std::string& path, InputFile& file) {
  std::uint64_t length = 0;
  if (file.size() < sizeof length) {
    bad(path, fmt::format("is {} bytes long; a safetensors file has at least 8; {}", file.size(),
                          kDamaged));
  }
  file.read(&length, sizeof length);
  if (length > kMaxHeader || length > file.size() - sizeof length) {
    const std::string_view start(reinterpret_cast<const char*>(&length), sizeof length);
    if (start.starts_with('{')) {
      bad(path,
          "is JSON text, not a safetensors file; if it is the index of a model in several files, "
          "load each of the files that its \"weight_map\" names");
    }
    if (start.starts_with("PK\3\4") || start.starts_with("\x80\2")) {
      bad(path,
          "was written by torch.save and is not a safetensors file; in Python, load it and save "
          "its state_dict with safetensors.torch.save_file");
    }
    bad(path,
        fmt::format(
            "its first 8 bytes announce a header of {} bytes; expected at most {}, and no more "
            "than the {} that follow; if this is not a safetensors file, save it as one, otherwise "
            "{}",
            length, kMaxHeader, file.size() - sizeof length, kDamaged));
  }
  std::string header(length, '\0');
  file.read(header.data(), length);
  return header;
}

// Returns an undefined tensor if a U64 value is too large. In both cases the file is then at the
// end of the tensor's data.
Tensor read_tensor(const std::string& path, InputFile& file, const Entry& entry) {
  const FileType& type = *type_of(entry);
  const Shape shape = shape_of(entry);
  Tensor tensor;
  try {
    tensor = Tensor::empty(shape, type.dtype);
  } catch (const Error& error) {
    bad(path, fmt::format("tensor {}: {}", shown(entry.name), error.what()));
  }
  char* to = static_cast<char*>(tensor.raw());
  auto left = static_cast<std::size_t>(shape.numel());
  const auto from_bytes = static_cast<std::size_t>(type.bytes);
  if (type.convert == nullptr) {
    file.read(to, left * from_bytes);
    return tensor;
  }
  bool fits = true;
  std::vector<char> block(65536);
  while (left > 0) {
    const std::size_t count = std::min(left, block.size() / from_bytes);
    file.read(block.data(), count * from_bytes);
    if (!type.convert(block.data(), count, to)) {
      if (type.bytes == 1) {
        bad(path, fmt::format("tensor {} holds a value that is not a BOOL; expected 0 or 1; {}",
                              shown(entry.name), kDamaged));
      }
      fits = false;
    }
    to += count * static_cast<std::size_t>(size_of(type.dtype));
    left -= count;
  }
  return fits ? tensor : Tensor();
}

void skip(InputFile& file, std::uint64_t bytes) {
  std::vector<char> block(65536);
  while (bytes > 0) {
    const std::size_t count = std::min<std::uint64_t>(bytes, block.size());
    file.read(block.data(), count);
    bytes -= count;
  }
}

// A name or a text as JSON.
std::string to_json(const std::string& path, const std::string& text) {
  std::string result = safetensors::json_string(text);
  if (result.empty()) {
    fail("write_safetensors",
         fmt::format("{}: {} is not valid UTF-8; choose another name or text", path, shown(text)));
  }
  return result;
}

void check_writable(const std::string& path, const StateDict& tensors) {
  std::unordered_set<std::string> names;
  for (const NamedTensor& item : tensors) {
    const char* problem = item.name == kMetadata
                              ? "is a name that the format reserves; choose another name"
                          : !names.insert(item.name).second ? "is given twice; names must differ"
                          : !item.tensor.defined()          ? "is an undefined tensor; leave it out"
                                                            : nullptr;
    if (problem != nullptr) {
      fail("write_safetensors", fmt::format("{}: {} {}", path, shown(item.name), problem));
    }
  }
}

}  // namespace

TensorFile read_safetensors(const std::string& path) {
  InputFile file(path);
  const std::string header = read_header(path, file);
  auto [entries, metadata] = safetensors::parse_header(path, header);
  TensorFile result{{}, std::move(metadata)};
  const std::uint64_t data_bytes = file.size() - sizeof(std::uint64_t) - header.size();
  for (const Entry& entry : entries) check_sizes(path, entry);
  check_cover(path, entries, data_bytes);
  for (const Entry& entry : entries) {
    std::string problem = obstacle(entry);
    if (problem.empty()) {
      Tensor tensor = read_tensor(path, file, entry);
      if (tensor.defined()) {
        result.tensors.push_back({entry.name, std::move(tensor)});
        continue;
      }
      problem =
          "holds a value that does not fit in int64; expected at most 2^63 - 1; convert it "
          "in the program that wrote the file";
    } else {
      skip(file, entry.offsets[1] - entry.offsets[0]);
    }
    result.unread.push_back({entry.name, std::move(problem)});
  }
  return result;
}

void write_safetensors(const std::string& path, const StateDict& tensors,
                       const Metadata& metadata) {
  check_writable(path, tensors);
  std::vector<const NamedTensor*> order;
  for (const NamedTensor& item : tensors) order.push_back(&item);
  std::sort(order.begin(), order.end(), [](const NamedTensor* a, const NamedTensor* b) {
    const std::int64_t bytes_a = size_of(a->tensor.dtype());
    const std::int64_t bytes_b = size_of(b->tensor.dtype());
    return bytes_a != bytes_b ? bytes_a > bytes_b : a->name < b->name;
  });

  std::string header;
  for (const auto& [key, text] : metadata) {
    header +=
        fmt::format("{}{}:{}", header.empty() ? "" : ",", to_json(path, key), to_json(path, text));
  }
  if (!metadata.empty()) header = fmt::format("\"{}\":{{{}}}", kMetadata, header);
  std::int64_t end = 0;
  for (const NamedTensor* item : order) {
    const Tensor& tensor = item->tensor;
    const std::int64_t begin = end;
    end += tensor.numel() * size_of(tensor.dtype());
    header +=
        fmt::format("{}{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}",
                    header.empty() ? "" : ",", to_json(path, item->name), file_name(tensor.dtype()),
                    fmt::join(tensor.shape().begin(), tensor.shape().end(), ","), begin, end);
  }
  header = "{" + header + "}";
  header.append((8 - header.size() % 8) % 8, ' ');
  if (header.size() > kMaxHeader) {
    fail("write_safetensors",
         fmt::format("{}: names and metadata take {} bytes; the format allows {}; shorten them",
                     path, header.size(), kMaxHeader));
  }

  const std::uint64_t length = header.size();
  NewFile file(path, sizeof length + length + static_cast<std::uint64_t>(end));
  file.write({reinterpret_cast<const char*>(&length), sizeof length});
  file.write(header);
  for (const NamedTensor* item : order) {
    const Tensor tensor = item->tensor.to(Device::cpu).contiguous();
    file.write({static_cast<const char*>(tensor.raw()),
                static_cast<std::size_t>(tensor.numel() * size_of(tensor.dtype()))});
  }
  file.commit();
}

}  // namespace tapeloop
