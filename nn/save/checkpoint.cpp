// SPDX-License-Identifier: MIT
// Checkpoints as safetensors files: the names of sections, the metadata and the checksums.
// autograd/files/safetensors.h reads and writes the tensors.
#include "tapeloop/nn/save/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <set>
#include <string_view>
#include <type_traits>

#include "tapeloop/autograd/files/safetensors.h"
#include "tapeloop/autograd/files/safetensors_header.h"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop::nn {
namespace {

using safetensors::bad;
using safetensors::shown;

constexpr const char* kVersionKey = "tapeloop.checkpoint";
constexpr const char* kVersion = "1";
constexpr const char* kStepKey = "tapeloop.step";
constexpr const char* kSectionsKey = "tapeloop.sections";
constexpr const char* kRandomsKey = "tapeloop.randoms";
constexpr const char* kChecksumKey = "tapeloop.checksum";  // of all other metadata
constexpr std::string_view kTensorChecksum = "checksum.";  // of the tensor whose name follows
constexpr std::string_view kNote = "note.";
constexpr const char* kRandomSection = "random";

// FNV-1a, 64 bits (Fowler, Noll & Vo). Every step is invertible, so one changed byte
// always changes the result.
class Checksum {
 public:
  void add(std::string_view bytes) {
    for (char byte : bytes) {
      state_ = (state_ ^ static_cast<unsigned char>(byte)) * 0x100000001b3u;
    }
  }
  // With the length of the text, so that different lists of texts have different bytes.
  void add_text(std::string_view text) {
    add(fmt::format("{}:", text.size()));
    add(text);
  }
  std::string str() const { return fmt::format("{:016x}", state_); }

 private:
  std::uint64_t state_ = 0xcbf29ce484222325u;
};

std::string checksum_of(const std::string& name, const Tensor& tensor) {
  const Tensor rows = tensor.contiguous();
  Checksum sum;
  sum.add_text(name);
  sum.add_text(rows.describe());
  sum.add({static_cast<const char*>(rows.raw()),
           static_cast<std::size_t>(rows.numel() * size_of(rows.dtype()))});
  return sum.str();
}

std::string checksum_of(const Metadata& metadata) {
  Checksum sum;
  for (const auto& [key, text] : metadata) {
    if (key == kChecksumKey) continue;
    sum.add_text(key);
    sum.add_text(text);
  }
  return sum.str();
}

// "model,optimizer". Throws if a name cannot be in such a list or in SECTION.NAME.
template <class T>
std::string list_names(const std::string& path, const char* kind,
                       const std::vector<std::pair<std::string, T>>& parts) {
  constexpr bool kSections = std::is_same_v<T, StateDict>;
  const std::string allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
  std::string list;
  std::set<std::string> seen;
  for (const auto& [name, part] : parts) {
    if (name.empty() || (kSections && name == kRandomSection) ||
        name.find_first_not_of(allowed + (kSections ? "" : ".")) != std::string::npos) {
      fail("save_checkpoint",
           fmt::format("{}: {} cannot be the name of a {}; use letters, digits, '_' and '-'{}",
                       path, shown(name), kind,
                       kSections ? fmt::format(", and not \"{}\"", kRandomSection) : " and '.'"));
    }
    if (!seen.insert(name).second) {
      fail("save_checkpoint",
           fmt::format("{}: there are two {}s {}; names must differ", path, kind, shown(name)));
    }
    list += (list.empty() ? "" : ",") + name;
  }
  return list;
}

std::vector<std::string> split_names(const std::string& list) {
  std::vector<std::string> names;
  std::size_t begin = 0;
  while (begin < list.size()) {
    const std::size_t end = std::min(list.find(',', begin), list.size());
    names.push_back(list.substr(begin, end - begin));
    begin = end + 1;
  }
  return names;
}

const std::string& text_of(const std::string& path, const Metadata& metadata,
                           const std::string& key) {
  const auto found = metadata.find(key);
  if (found == metadata.end()) {
    bad(path, fmt::format("this checkpoint has no {} in its metadata; {}", shown(key),
                          safetensors::kDamaged));
  }
  return found->second;
}

template <class T>
const T& part_named(const std::vector<std::pair<std::string, T>>& parts, const char* kind,
                    const std::string& name) {
  std::string names;
  for (const auto& [own, part] : parts) {
    if (own == name) return part;
    names += (names.empty() ? "" : ", ") + own;
  }
  fail("checkpoint", fmt::format("the checkpoint has no {} {}; it has: {}", kind, shown(name),
                                 names.empty() ? "none" : names));
}

// Checks that all tensors and metadata are there and unchanged.
void check_sums(const std::string& path, const TensorFile& file) {
  const std::string found = checksum_of(file.metadata);
  const std::string& expected = text_of(path, file.metadata, kChecksumKey);
  if (found != expected) {
    bad(path, fmt::format("the metadata of this checkpoint is damaged: its checksum is {}, but the "
                          "file states {}; take another copy or an older checkpoint",
                          found, shown(expected)));
  }
  std::set<std::string> unseen;
  for (const auto& [key, text] : file.metadata) {
    if (key.starts_with(kTensorChecksum)) unseen.insert(key.substr(kTensorChecksum.size()));
  }
  for (const auto& [name, tensor] : file.tensors) {
    const std::string& written = text_of(path, file.metadata, std::string(kTensorChecksum) + name);
    const std::string sum = checksum_of(name, tensor);
    if (sum != written) {
      bad(path,
          fmt::format("tensor {} is damaged: its checksum is {}, but the file states {}; take "
                      "another copy or an older checkpoint",
                      shown(name), sum, shown(written)));
    }
    unseen.erase(name);
  }
  if (!unseen.empty()) {
    bad(path,
        fmt::format("tensor {} is missing; {}", shown(*unseen.begin()), safetensors::kDamaged));
  }
}

Random random_of(const std::string& path, const std::string& name, const Tensor& tensor) {
  if (tensor.dtype() != DType::int64 || tensor.shape() != Shape{2}) {
    bad(path, fmt::format("the random state {} is {}; expected int64[2], seed and next; {}",
                          shown(name), tensor.describe(), safetensors::kDamaged));
  }
  Random random(static_cast<std::uint64_t>(tensor.read<std::int64_t>()[0]));
  random.next = static_cast<std::uint64_t>(tensor.read<std::int64_t>()[1]);
  return random;
}

}  // namespace

const StateDict& Checkpoint::section(const std::string& name) const {
  return part_named(sections, "section", name);
}
const Random& Checkpoint::random(const std::string& name) const {
  return part_named(randoms, "random state", name);
}

void save_checkpoint(const std::string& path, const Checkpoint& checkpoint) {
  Metadata metadata{{"format", "pt"},
                    {kVersionKey, kVersion},
                    {kStepKey, std::to_string(checkpoint.step)},
                    {kSectionsKey, list_names(path, "section", checkpoint.sections)},
                    {kRandomsKey, list_names(path, "random state", checkpoint.randoms)}};
  for (const auto& [key, text] : checkpoint.notes) metadata[std::string(kNote) + key] = text;
  StateDict tensors;
  for (const auto& [section, state] : checkpoint.sections) {
    for (const auto& [name, tensor] : state)
      tensors.push_back({fmt::format("{}.{}", section, name), tensor});
  }
  for (const auto& [name, random] : checkpoint.randoms) {
    tensors.push_back({fmt::format("{}.{}", kRandomSection, name),
                       Tensor::from<std::int64_t>({2}, {static_cast<std::int64_t>(random.seed),
                                                        static_cast<std::int64_t>(random.next)})});
  }
  for (auto& [name, tensor] : tensors) {
    // write_safetensors() refuses undefined tensors with a message.
    if (tensor.defined()) {
      tensor = tensor.cpu();
      metadata[std::string(kTensorChecksum) + name] = checksum_of(name, tensor);
    }
  }
  metadata[kChecksumKey] = checksum_of(metadata);
  write_safetensors(path, tensors, metadata);
}

Checkpoint read_checkpoint(const std::string& path) {
  TensorFile file = read_safetensors(path);
  const auto version = file.metadata.find(kVersionKey);
  if (version == file.metadata.end()) {
    bad(path, fmt::format("is a safetensors file but no checkpoint: \"{}\" is not in its metadata; "
                          "weights alone are read by load()",
                          kVersionKey));
  }
  if (version->second != kVersion) {
    bad(path, fmt::format("is a checkpoint of format version {}; this program reads version {}; "
                          "use the version of the program that wrote it, or a newer one",
                          shown(version->second), kVersion));
  }
  for (const UnreadTensor& item : file.unread) {
    bad(path, fmt::format("tensor {} {}", shown(item.name), item.problem));
  }
  check_sums(path, file);

  Checkpoint result;
  const std::string& step = text_of(path, file.metadata, kStepKey);
  const auto parsed = std::from_chars(step.data(), step.data() + step.size(), result.step);
  if (parsed.ec != std::errc{} || parsed.ptr != step.data() + step.size()) {
    bad(path, fmt::format("its step is {}; expected a whole number; {}", shown(step),
                          safetensors::kDamaged));
  }
  for (const auto& [key, text] : file.metadata) {
    if (key.starts_with(kNote)) result.notes[key.substr(kNote.size())] = text;
  }
  for (const std::string& name : split_names(text_of(path, file.metadata, kSectionsKey))) {
    result.sections.emplace_back(name, StateDict{});
  }
  std::map<std::string, Random> randoms;
  for (auto& [name, tensor] : file.tensors) {
    const std::size_t dot = name.find('.');
    const std::string prefix = name.substr(0, dot);
    const std::string rest = dot == std::string::npos ? "" : name.substr(dot + 1);
    const auto section = std::find_if(result.sections.begin(), result.sections.end(),
                                      [&](const auto& part) { return part.first == prefix; });
    if (section != result.sections.end()) {
      section->second.push_back({rest, std::move(tensor)});
    } else if (prefix == kRandomSection) {
      randoms.emplace(rest, random_of(path, rest, tensor));
    } else {
      bad(path,
          fmt::format("tensor {} belongs to no section; {}", shown(name), safetensors::kDamaged));
    }
  }
  for (const std::string& name : split_names(text_of(path, file.metadata, kRandomsKey))) {
    const auto found = randoms.find(name);
    if (found == randoms.end()) {
      bad(path,
          fmt::format("the random state {} is missing; {}", shown(name), safetensors::kDamaged));
    }
    result.randoms.emplace_back(name, found->second);
  }
  return result;
}

void check_settings(const Checkpoint& checkpoint,
                    const std::map<std::string, std::string>& settings, const std::string& what) {
  std::string problems;
  for (const auto& [key, text] : settings) {
    const auto saved = checkpoint.notes.find(key);
    if (saved == checkpoint.notes.end()) {
      problems += fmt::format("\n  {}: {} now, not saved", key, shown(text));
    } else if (saved->second != text) {
      problems += fmt::format("\n  {}: {} now, {} saved", key, shown(text), shown(saved->second));
    }
  }
  for (const auto& [key, text] : checkpoint.notes) {
    if (!settings.contains(key))
      problems += fmt::format("\n  {}: not set now, {} saved", key, shown(text));
  }
  if (!problems.empty()) {
    fail("check_settings",
         fmt::format(
             "{} was saved with other settings:{}\n  Use the saved settings, or start a new run.",
             what, problems));
  }
}

}  // namespace tapeloop::nn
