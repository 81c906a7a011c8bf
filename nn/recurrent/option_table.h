// SPDX-License-Identifier: MIT
// Options by their names, so that a text can set them. A struct lists its fields once:
//   struct GruOptions {
//     GruReset reset = GruReset::after;
//     void visit(OptionTable& table) { table("reset", reset, {"after", "before"}); }
//   };
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace tapeloop::nn {

class OptionTable;

// A struct whose fields can be set by their names.
template <class O>
concept HasNamedOptions = requires(O& options, OptionTable& table) {
  options.visit(table);
};

// The fields of a struct, which must outlive the table.
class OptionTable {
 public:
  struct Row {
    std::string name;    // "reset"
    std::string values;  // what it may be: "after|before"; "N", a whole number; "X", a number
    // Sets the field. Returns false, and changes nothing, if the text is no such value.
    std::function<bool(std::string_view text)> set;
  };

  void operator()(const char* name, bool& field);
  void operator()(const char* name, int& field);
  void operator()(const char* name, std::int64_t& field);
  void operator()(const char* name, double& field);
  void operator()(const char* name, std::vector<std::int64_t>& field);  // 1:2:4
  // The words of an enum's values 0, 1, 2, ...
  template <class E>
  requires std::is_enum_v<E>
  void operator()(const char* name, E& field, std::initializer_list<const char*> words) {
    add_words(name, words, [&field](int index) { field = static_cast<E>(index); });
  }
  // A struct within: its fields are NAME.FIELD.
  template <HasNamedOptions O>
  void operator()(const char* name, O& within) {
    const std::string before = std::exchange(prefix_, prefix_ + name + ".");
    within.visit(*this);
    prefix_ = before;
  }

  const std::vector<Row>& rows() const { return rows_; }
  const Row* find(std::string_view name) const;  // nullptr: there is none
  std::string str() const;                       // "reset=after|before, size=N"; "none"

 private:
  void add(const char* name, std::string values, std::function<bool(std::string_view)> set);
  void add_words(const char* name, std::initializer_list<const char*> words,
                 std::function<void(int)> set);
  std::string prefix_;
  std::vector<Row> rows_;
};

}  // namespace tapeloop::nn
