// SPDX-License-Identifier: MIT
// Reading and writing a choice.
#include "tapeloop/nn/choice/cell_choice.h"

#include <fmt/format.h>

#include <algorithm>

#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/nn/choice/registry.h"

namespace tapeloop::nn {

namespace {

std::string trimmed(const std::string& text) {
  const std::size_t from = text.find_first_not_of(' ');
  return from == std::string::npos ? "" : text.substr(from, text.find_last_not_of(' ') + 1 - from);
}

const detail::RegisteredCell& registered(const std::string& cell) {
  for (const detail::RegisteredCell& one : detail::registered_cells()) {
    if (cell == one.name) return one;
  }
  fail("cell",
       fmt::format("there is no cell '{}'; choose one of {}", cell, fmt::join(cell_names(), ", ")));
}

// Sets an option if the table has it; says whether it has.
bool set_if_there(const OptionTable& table, const std::string& cell, const std::string& option,
                  const std::string& value) {
  const OptionTable::Row* const row = table.find(option);
  if (row == nullptr) return false;
  if (!row->set(value)) {
    fail("cell",
         fmt::format("{}: '{}' is no value of {}, expected {}", cell, value, option, row->values));
  }
  return true;
}

}  // namespace

CellChoice::CellChoice(const std::string& text) {
  const std::size_t open = text.find('(');
  cell_ = trimmed(text.substr(0, open));
  if (open != std::string::npos && !trimmed(text).ends_with(')')) {
    fail("cell", fmt::format("'{}' does not end in ')'; write a cell as NAME or "
                             "NAME(option=value, option=value)",
                             text));
  }
  registered(cell_);
  if (open == std::string::npos) return;
  const std::string list = text.substr(open + 1, text.rfind(')') - open - 1);
  if (trimmed(list).empty()) return;
  for (std::size_t from = 0; from <= list.size();) {
    const std::size_t to = std::min(list.find(',', from), list.size());
    const std::string item = list.substr(from, to - from);
    const std::size_t equal = item.find('=');
    add(trimmed(item.substr(0, equal)),
        equal == std::string::npos ? "true" : trimmed(item.substr(equal + 1)));
    from = to + 1;
  }
}

CellChoice::CellChoice(std::string cell, const NamedValues& options) : cell_(std::move(cell)) {
  registered(cell_);
  for (const auto& [option, value] : options) add(option, value);
}

void CellChoice::add(const std::string& option, const std::string& value) {
  const auto given = [&](const auto& other) { return other.first == option; };
  if (std::any_of(own_.begin(), own_.end(), given) ||
      std::any_of(shared_.begin(), shared_.end(), given)) {
    fail("cell", fmt::format("{}: {} is given twice", cell_, option));
  }
  bool own = false;
  registered(cell_).with_options(
      [&](const OptionTable& table) { own = set_if_there(table, cell_, option, value); });
  RecurrentOptions options;
  OptionTable shared;
  options.visit(shared);
  if (!own && !set_if_there(shared, cell_, option, value)) {
    fail("cell", fmt::format("{} has no option '{}'; its options are {}; those of all cells are {}",
                             cell_, option, cell_options(cell_), shared.str()));
  }
  (own ? own_ : shared_).emplace_back(option, value);
}

std::string CellChoice::text() const {
  std::vector<std::string> all;
  for (const NamedValues* list : {&own_, &shared_}) {
    for (const auto& [option, value] : *list) all.push_back(option + "=" + value);
  }
  return all.empty() ? cell_ : fmt::format("{}({})", cell_, fmt::join(all, ", "));
}

RecurrentOptions CellChoice::applied_to(RecurrentOptions options) const {
  OptionTable table;
  options.visit(table);
  for (const auto& [option, value] : shared_) set_if_there(table, cell_, option, value);
  return options;
}

CellChoice CellChoice::without_shared() const {
  CellChoice result = *this;
  result.shared_.clear();
  return result;
}

std::vector<std::string> cell_names() {
  std::vector<std::string> names;
  for (const detail::RegisteredCell& one : detail::registered_cells()) names.emplace_back(one.name);
  std::sort(names.begin(), names.end());
  return names;
}

std::string cell_options(const std::string& cell) {
  std::string result;
  registered(cell).with_options([&](const OptionTable& table) { result = table.str(); });
  return result;
}

bool cell_reads_time(const std::string& cell) { return registered(cell).reads_time; }
bool cell_has_equal_sizes(const std::string& cell) { return registered(cell).equal_sizes; }

std::string shared_cell_options() {
  RecurrentOptions options;
  OptionTable table;
  options.visit(table);
  return table.str();
}

AnyCell::AnyCell(const RecurrentOptions& options, Random& random, const CellChoice& choice) {
  if (!choice.shared().empty()) {
    fail("cell", fmt::format("{}: {} is an option of a stack; nn::AnyRecurrent takes it",
                             choice.text(), choice.shared()[0].first));
  }
  cell_ = registered(choice.cell()).make(options, random, choice.own());
}

}  // namespace tapeloop::nn
