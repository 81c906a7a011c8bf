// SPDX-License-Identifier: MIT
// Units of text and their numbers: first the four special symbols, then the units, the most
// frequent first.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

namespace seq2seq {

inline constexpr std::int64_t kPad = 0, kStart = 1, kEnd = 2, kUnknown = 3;
inline constexpr std::int64_t kSpecialSymbols = 4;

struct VocabularyLimits {
  std::int64_t least_count = 1;                                  // rarer units are unknown
  std::int64_t most = std::numeric_limits<std::int64_t>::max();  // units that are kept
};

class Vocabulary {
 public:
  Vocabulary() = default;
  // Takes all units of the texts; equally frequent ones come in the order of their bytes.
  explicit Vocabulary(std::span<const std::vector<std::string>> texts,
                      const VocabularyLimits& limits = {});

  std::int64_t size() const {  // special symbols included
    return kSpecialSymbols + static_cast<std::int64_t>(units_.size());
  }
  std::int64_t id(const std::string& unit) const;  // kUnknown if it is not here
  std::vector<std::int64_t> encode(const std::vector<std::string>& units) const;
  // The units of ids up to the end symbol; "<unk>" for kUnknown, nothing for kPad and kStart.
  // Throws Error for an id outside [0, size()).
  std::vector<std::string> decode(std::span<const std::int64_t> ids) const;

  // Writes and reads one unit per line. Throws Error if two lines are equal or one is empty.
  std::string to_text() const;
  static Vocabulary from_text(const std::string& text);

  bool operator==(const Vocabulary& other) const { return units_ == other.units_; }

 private:
  void add(const std::string& unit);
  std::vector<std::string> units_;
  std::unordered_map<std::string, std::int64_t> ids_;
};

}  // namespace seq2seq
