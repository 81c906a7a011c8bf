// SPDX-License-Identifier: MIT
// Places of values and gradients, and the way in which each gradient is written.
#include "tapeloop/autograd/device/level_program.h"

#include <algorithm>

namespace tapeloop::detail {

namespace {

using From = StepLayout::From;

Place rows_of(const Tensor& tensor, int begins) {
  if (!tensor.defined()) return {};
  return {static_cast<char*>(tensor.raw()), tensor.stride(-2) * size_of(tensor.dtype()), begins};
}

Place one_row(const Tensor& tensor) {
  return tensor.defined() ? Place{static_cast<char*>(tensor.raw()), 0, Place::at_zero} : Place{};
}

// Which columns of each value have been written, going through the operations in reverse.
class Written {
 public:
  explicit Written(const StepLayout& layout) : layout_(layout), ranges_(layout.values.size()) {}

  void all(int v) { ranges(v).assign(1, {0, layout_.values[static_cast<std::size_t>(v)].size}); }
  // Returns put for columns that nothing has written, add for those that were all written, and none
  // for a mixture.
  Write write(int v, std::int64_t first, std::int64_t size) {
    PoolVector<Range>& written = ranges(v);
    for (const Range& r : written) {
      if (first >= r.first && first + size <= r.end) return Write::add;
      if (first < r.end && r.first < first + size) return Write::none;
    }
    written.push_back({first, first + size});
    return Write::put;
  }
  // How many columns have been written.
  std::int64_t columns(int v) {
    std::int64_t columns = 0;
    for (const Range& r : ranges(v)) columns += r.end - r.first;
    return columns;
  }

 private:
  struct Range {
    std::int64_t first, end;
  };
  PoolVector<Range>& ranges(int v) { return ranges_[static_cast<std::size_t>(v)]; }

  const StepLayout& layout_;
  PoolVector<PoolVector<Range>> ranges_;
};

}  // namespace

LevelProgram::LevelProgram(const LevelRun& run) : run_(run) {
  const Tensor& any = run.states[0];
  dtype_ = any.dtype();
  device_ = any.device();
  const Schedule& order = schedule();
  for (std::int64_t l = 0; l < (order.is_chain() ? 1 : order.levels()); ++l) {
    widest_ = std::max(widest_, order.level(l).count);
    if (order.has_edges()) widest_edges_ = std::max(widest_edges_, order.edges(l).count);
  }
  find_gathered_columns();
  place_values();
}

LevelProgram::LevelProgram(const LevelBackward& run)
    : LevelProgram(static_cast<const LevelRun&>(run)) {
  place_gradients(run);
  choose_writes();
}

Place LevelProgram::new_scratch(std::int64_t columns, bool by_edge) {
  const std::int64_t rows = by_edge ? widest_edges_ : widest_;
  memory_.push_back(Tensor::empty({rows, columns}, dtype_, device_));
  return rows_of(memory_.back(), Place::at_zero);
}

void LevelProgram::find_gathered_columns() {
  gathered_columns_.resize(layout().values.size());
  const auto add = [&](const StepLayout::Columns& c) {
    if (layout().values[static_cast<std::size_t>(c.value)].from != From::edge_state) return;
    Gathered& gathered = gathered_columns_[static_cast<std::size_t>(c.value)];
    const std::int64_t end = std::max(gathered.first + gathered.size, c.first + c.size);
    gathered.first = gathered.size == 0 ? c.first : std::min(gathered.first, c.first);
    gathered.size = end - gathered.first;
  };
  for (const StepLayout::Operation& op : layout().operations) {
    for (const StepLayout::Columns& c : op.arguments) add(c);
    for (const StepLayout::Term& term : op.terms) add(term.x);
    if (op.kind == From::layer_norm) add(op.x);
    if (op.add.given()) add(op.add);
  }
}

void LevelProgram::place_values() {
  const std::size_t count = layout().values.size();
  places_.resize(count);
  gathered_.resize(count);
  is_scratch_.assign(count, false);
  for (std::size_t v = 0; v < count; ++v) {
    const StepLayout::Value& value = layout().values[v];
    const auto i = static_cast<std::size_t>(value.index);
    switch (value.from) {
      case From::input: places_[v] = rows_of(run_.input, Place::at_node); break;
      case From::unit: places_[v] = one_row(run_.units[i]); break;
      case From::extra: places_[v] = rows_of(run_.extras[i], Place::at_node); break;
      case From::state: {
        const Tensor& states = run_.states[i];
        const bool two = states.rank() == 3;
        places_[v] =
            rows_of(states, two ? int{Place::at_block_before} : Place::at_slot + value.predecessor);
        if (!schedule().is_chain()) gathered_[v] = new_scratch(value.size, false);
        break;
      }
      case From::edge_state:
        places_[v] = rows_of(run_.states[i], Place::at_zero);
        if (gathered_columns_[v].size > 0) gathered_[v] = new_scratch(value.size, true);
        break;
      default:
        if (value.part >= 0) {
          const Tensor& states = run_.states[static_cast<std::size_t>(value.part)];
          places_[v] = rows_of(states, states.rank() == 3 ? Place::at_block : Place::at_state);
        } else if (!run_.values.empty() && run_.values[v].defined()) {
          places_[v] = rows_of(run_.values[v], value.by_edge ? Place::at_edge : Place::at_node);
        } else {
          places_[v] = new_scratch(value.size, value.by_edge);
          is_scratch_[v] = true;
        }
    }
  }
}

void LevelProgram::place_gradients(const LevelBackward& run) {
  const std::size_t count = layout().values.size();
  dplaces_.resize(count);
  dgathered_.resize(count);
  two_levels_.resize(run.dstates.size());
  for (std::size_t k = 0; k < run.dstates.size(); ++k) two_levels_[k] = run.dstates[k].rank() == 3;
  for (std::size_t v = 0; v < count; ++v) {
    const StepLayout::Value& value = layout().values[v];
    const auto i = static_cast<std::size_t>(value.index);
    switch (value.from) {
      case From::input: dplaces_[v] = rows_of(run.dinput, Place::at_node); break;
      case From::unit: dplaces_[v] = one_row(run.dunits[i]); break;
      case From::extra: break;
      case From::state:
        dplaces_[v] = rows_of(run.dstates[i], two_levels_[i] ? int{Place::at_block_before}
                                                             : Place::at_slot + value.predecessor);
        if (!schedule().is_chain()) dgathered_[v] = new_scratch(value.size, false);
        break;
      case From::edge_state:
        dplaces_[v] = rows_of(run.dstates[i], Place::at_zero);
        if (gathered_columns_[v].size > 0) dgathered_[v] = new_scratch(value.size, true);
        break;
      default:
        if (value.part >= 0) {
          const auto part = static_cast<std::size_t>(value.part);
          dplaces_[v] =
              rows_of(run.dstates[part], two_levels_[part] ? Place::at_block : Place::at_state);
        } else if (run.dvalues[v].defined()) {
          dplaces_[v] = rows_of(run.dvalues[v], value.by_edge ? Place::at_edge : Place::at_node);
        } else {
          dplaces_[v] = new_scratch(value.size, value.by_edge);
        }
    }
  }
}

void LevelProgram::choose_writes() {
  const StepLayout& step = layout();
  const std::size_t count = step.values.size();
  Written written(step);
  cleared_.assign(count, false);
  for (std::size_t v = 0; v < count; ++v) {
    const StepLayout::Value& value = step.values[v];
    const bool keeps_later =
        value.part >= 0 ||
        (value.from == From::state && !two_levels_[static_cast<std::size_t>(value.index)]);
    if (keeps_later) written.all(static_cast<int>(v));
  }
  PoolVector<bool> mixed(count, false);
  const auto choose = [&](int v, std::int64_t first, std::int64_t columns) {
    const From from = step.values[static_cast<std::size_t>(v)].from;
    const bool wanted = dplace(v).base != nullptr;
    if (from == From::unit) return wanted ? Write::sum : Write::none;
    if (!wanted) return Write::none;
    const Write result = written.write(v, first, columns);
    if (result != Write::none) return result;
    mixed[static_cast<std::size_t>(v)] = true;
    return Write::add;
  };
  const auto added = [&](const StepLayout::Operation& op) {
    if (!op.add.given()) return Write::none;
    const Place& own = dplace(op.result);
    const Place& from = dplace(op.add.value);
    const Write result = choose(op.add.value, op.add.first, op.add.size);
    // The gradient of the sum stands in the columns of what is added.
    const bool same = own.begins == from.begins && own.base == from.base + op.add.first * element();
    return same ? Write::none : result;
  };
  writes_.resize(step.operations.size());
  for (std::size_t i = step.operations.size(); i-- > 0;) {
    const StepLayout::Operation& op = step.operations[i];
    PoolVector<Write>& writes = writes_[i];
    if (op.kind == From::formula) {
      for (const StepLayout::Columns& c : op.arguments) {
        for (std::int64_t at = 0; at < c.size; at += op.units)
          writes.push_back(choose(c.value, c.first + at, op.units));
      }
      continue;
    }
    for (const StepLayout::Term& term : op.terms)
      writes.push_back(choose(term.x.value, term.x.first, term.x.size));
    if (op.x.given()) {
      // A sum of edges adds the gradients of edge states to those of the states.
      const bool states =
          op.kind == From::edge_sum &&
          step.values[static_cast<std::size_t>(op.x.value)].from == From::edge_state;
      writes.push_back(states ? Write::add : choose(op.x.value, op.x.first, op.x.size));
    }
    ends_with_wait_ = ends_with_wait_ || op.kind == From::layer_norm;
    writes.push_back(added(op));
  }
  for (std::size_t v = 0; v < count; ++v) {
    const From from = step.values[v].from;
    if (from == From::unit || from == From::extra || dplaces_[v].base == nullptr) continue;
    const std::int64_t all =
        from == From::edge_state ? gathered_columns_[v].size : step.values[v].size;
    cleared_[v] = mixed[v] || written.columns(static_cast<int>(v)) != all;
  }
  scratch_.resize(step.operations.size());
  for (std::size_t i = 0; i < step.operations.size(); ++i) {
    const StepLayout::Operation& op = step.operations[i];
    PoolVector<Write>& writes = writes_[i];
    std::size_t at = 0;
    const bool by_edge = step.values[static_cast<std::size_t>(op.result)].by_edge;
    const auto correct = [&](int v) {
      if (cleared(v) && writes[at] == Write::put) writes[at] = Write::add;
      ++at;
    };
    for (const StepLayout::Columns& c : op.arguments) {
      for (std::int64_t j = 0; j < c.size; j += op.units) {
        correct(c.value);
        const Write way = writes[at - 1];
        const bool apart = way == Write::add || way == Write::sum;
        scratch_[i].push_back(apart ? new_scratch(op.units, by_edge) : Place{});
      }
    }
    if (op.kind == From::formula) continue;
    for (const StepLayout::Term& term : op.terms) correct(term.x.value);
    if (op.x.given()) correct(op.x.value);
    if (op.add.given()) correct(op.add.value);
  }
}

}  // namespace tapeloop::detail
