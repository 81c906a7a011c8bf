// SPDX-License-Identifier: MIT
// The option --cell.
#include <fmt/format.h>

#include <utility>

#include "examples/common/cells/cells.h"
#include "examples/common/notes.h"
#include "tapeloop/autograd/tensor/error.h"

namespace common {

Setting cell(std::string& value, const std::string& help,
             std::map<std::string, std::string> refused, const Rules& rules) {
  const auto read = [&value,
                     refused = std::move(refused)](const std::string& given) -> std::string {
    try {
      const tapeloop::nn::CellChoice choice(given);
      for (const auto& [option, text] : choice.shared()) {
        const auto found = refused.find(option.substr(0, option.find('.')));
        if (found != refused.end()) return fmt::format("{}: {}", option, found->second);
      }
      value = choice.text();
      return "";
    } catch (const tapeloop::Error& error) {
      return without_name(error, "cell");
    }
  };
  const std::string all = fmt::format(
      "{}: NAME or \"NAME(option=value, ...)\"; NAME is {}. After an option that a cell does not "
      "have, the message lists those that it has",
      help, fmt::join(tapeloop::nn::cell_names(), ", "));
  return {"--cell", all, "CELL", rules, [&value] { return value; }, read};
}

}  // namespace common
