// SPDX-License-Identifier: MIT
// Changes of a step that is finished: what its products of the state read, and products in blocks.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "tapeloop/autograd/ops/ops.h"
#include "tapeloop/autograd/sequence/recurrence.h"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop {

namespace {

using From = StepLayout::From;
using of::Source;

// Whether the operation multiplies part `part` of a state, of any predecessor.
bool multiplies(const StepLayout& layout, const StepLayout::Operation& op, int part) {
  return std::any_of(op.terms.begin(), op.terms.end(), [&](const StepLayout::Term& term) {
    const StepLayout::Value& x = layout.values[static_cast<std::size_t>(term.x.value)];
    return x.from == From::state && x.index == part;
  });
}

// Whether an operation reads this value otherwise than as an argument of a formula.
bool reads_whole(const StepLayout::Operation& op, int value) {
  return op.add.value == value || op.x.value == value ||
         std::any_of(op.terms.begin(), op.terms.end(),
                     [&](const StepLayout::Term& term) { return term.x.value == value; });
}

// Each made value knows the place of its operation.
void number_operations(StepLayout& layout) {
  for (std::size_t i = 0; i < layout.operations.size(); ++i) {
    const StepLayout::Operation& op = layout.operations[i];
    const int results = op.kernel != nullptr ? op.kernel->outputs : 1;
    for (int k = 0; k < results; ++k)
      layout.values[static_cast<std::size_t>(op.result + k)].index = static_cast<int>(i);
  }
}

// Arguments of formulas that read columns of value `whole` read those of the blocks.
void read_blocks(StepLayout& layout, int whole, std::span<const int> blocks, std::int64_t rows) {
  const std::int64_t columns = rows * static_cast<std::int64_t>(blocks.size());
  for (StepLayout::Operation& op : layout.operations) {
    PoolVector<StepLayout::Columns> arguments;
    for (const StepLayout::Columns& argument : op.arguments) {
      if (argument.value != whole) {
        arguments.push_back(argument);
        continue;
      }
      std::int64_t at = argument.first;
      const std::int64_t end = argument.size < 0 ? columns : at + argument.size;
      while (at < end) {
        const std::int64_t first = at % rows, size = std::min(end - at, rows - first);
        arguments.push_back({blocks[static_cast<std::size_t>(at / rows)], first, size});
        at += size;
      }
    }
    op.arguments = std::move(arguments);
  }
}

}  // namespace

std::int64_t Recurrence::product_blocks(int part, std::int64_t rows) const {
  std::int64_t blocks = 0;
  for (const StepLayout::Operation& op : layout_.operations) {
    if (!multiplies(layout_, op, part)) continue;
    const std::int64_t all = weights_[static_cast<std::size_t>(op.terms[0].weight)].dim(0);
    if (rows < 1 || all % rows != 0) {
      fail("recurrence", fmt::format("\"{}\": a product of {} rows was to be divided into blocks "
                                     "of {} rows",
                                     name(), all, rows));
    }
    const bool part_of_state = layout_.values[static_cast<std::size_t>(op.result)].part >= 0;
    if (all != rows &&
        (part_of_state ||
         std::any_of(layout_.operations.begin(), layout_.operations.end(),
                     [&](const auto& reader) { return reads_whole(reader, op.result); }))) {
      fail("recurrence", fmt::format("\"{}\": a product was to be divided into blocks of {} rows, "
                                     "but not only formulas read it: a layer norm or a product "
                                     "reads it as a whole, or it is a part of the state",
                                     name(), rows));
    }
    blocks += all / rows;
  }
  return blocks;
}

// A product of several blocks becomes as many products.
void Recurrence::divide_products(int part, std::int64_t rows) {
  PoolVector<StepLayout::Operation>& operations = layout_.operations;
  for (std::size_t i = 0; i < operations.size(); ++i) {
    if (!multiplies(layout_, operations[i], part)) continue;
    const StepLayout::Operation whole = operations[i];
    const auto slices_of = [&](const Var& x) {
      return split(x, PoolVector<std::int64_t>(static_cast<std::size_t>(x.dim(0) / rows), rows), 0);
    };
    const std::int64_t all = weights_[static_cast<std::size_t>(whole.terms[0].weight)].dim(0);
    const auto count = static_cast<std::size_t>(all / rows);
    if (count == 1) continue;
    PoolVector<StepLayout::Operation> parts(count, whole);
    PoolVector<int> results{whole.result};
    for (std::size_t b = 1; b < count; ++b) {
      const auto& made = layout_.values[static_cast<std::size_t>(whole.result)];
      results.push_back(new_value(From::product, made.by_edge));
    }
    for (std::size_t t = 0; t < whole.terms.size(); ++t) {
      const auto weight = static_cast<std::size_t>(whole.terms[t].weight);
      const PoolVector<Var> slices = slices_of(weights_[weight]);
      weights_[weight] = slices[0];
      for (std::size_t b = 1; b < count; ++b) {
        weights_.push_back(slices[b]);
        parts[b].terms[t].weight = static_cast<int>(weights_.size()) - 1;
      }
    }
    check_weights();
    if (whole.bias >= 0) {
      const auto unit =
          static_cast<std::size_t>(layout_.values[static_cast<std::size_t>(whole.bias)].index);
      const PoolVector<Var> slices = slices_of(units_[unit]);
      for (std::size_t b = 0; b < count; ++b) parts[b].bias = unit_of(slices[b]);
    }
    for (std::size_t b = 0; b < count; ++b) {
      parts[b].result = results[b];
      const auto first = static_cast<std::int64_t>(b) * rows;
      if (whole.add.given()) parts[b].add = {whole.add.value, whole.add.first + first, rows};
    }
    operations[i] = parts[0];
    operations.insert(operations.begin() + static_cast<std::ptrdiff_t>(i) + 1, parts.begin() + 1,
                      parts.end());
    i += count - 1;
    read_blocks(layout_, whole.result, results, rows);
  }
  number_operations(layout_);
}

// Each product of the part reads F(part, other) with the next one of `others`, or with the only
// one. These F run first.
void Recurrence::replace_operands(int part, const PointwiseKernel& kernel,
                                  const detail::FormulaBytes& formula,
                                  std::span<const Source> others) {
  const auto products = static_cast<std::size_t>(
      std::count_if(layout_.operations.begin(), layout_.operations.end(),
                    [&](const auto& op) { return multiplies(layout_, op, part); }));
  if (others.size() != 1 && others.size() != products) {
    fail("recurrence",
         fmt::format("\"{}\": {} sources were given for {} products of part {} of the "
                     "state; give one, or one for each",
                     name(), others.size(), products, part));
  }
  PoolVector<StepLayout::Operation> operations = std::move(layout_.operations);
  layout_.operations.clear();
  PoolVector<std::array<int, 3>> made;  // state value, which of `others`, result
  std::size_t next = 0;
  for (StepLayout::Operation& op : operations) {
    if (!multiplies(layout_, op, part)) continue;
    const std::size_t which = others.size() == 1 ? 0 : next++;
    for (StepLayout::Term& term : op.terms) {
      const StepLayout::Value x = layout_.values[static_cast<std::size_t>(term.x.value)];
      if (x.from != From::state || x.index != part) continue;
      const auto known = std::find_if(made.begin(), made.end(), [&](const auto& m) {
        return m[0] == term.x.value && m[1] == static_cast<int>(which);
      });
      if (known != made.end()) {
        term.x.value = (*known)[2];
        continue;
      }
      const Source before = of::state(part, x.predecessor);
      const Source* const arguments[] = {&before, &others[which]};
      const int state = term.x.value;
      term.x.value = add_formula(kernel, formula, arguments).result;
      made.push_back({state, static_cast<int>(which), term.x.value});
    }
  }
  layout_.operations.insert(layout_.operations.end(), operations.begin(), operations.end());
  number_operations(layout_);
}

}  // namespace tapeloop
