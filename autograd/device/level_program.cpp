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

// The columns of each gradient that have been written so far. The operations come in reverse.
class Written {
 public:
  explicit Written(const StepLayout& layout) : layout_(layout) {
    ranges_.reserve(2 * layout.values.size());
  }

  void all(int v) { ranges_.push_back({v, 0, size(v)}); }
  // Returns put for columns that nothing has written, add for those that were all written, and none
  // for a mixture.
  Write write(int v, std::int64_t first, std::int64_t size) {
    for (const Range& r : ranges_) {
      if (r.value != v) continue;
      if (first >= r.first && first + size <= r.end) return Write::add;
      if (first < r.end && r.first < first + size) return Write::none;
    }
    ranges_.push_back({v, first, first + size});
    return Write::put;
  }
  // How many columns have been written.
  std::int64_t columns(int v) const {
    std::int64_t columns = 0;
    for (const Range& r : ranges_) columns += r.value == v ? r.end - r.first : 0;
    return columns;
  }

 private:
  struct Range {
    int value;
    std::int64_t first, end;
  };
  std::int64_t size(int v) const { return layout_.values[static_cast<std::size_t>(v)].size; }

  const StepLayout& layout_;
  PoolVector<Range> ranges_;
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
  backward_ = true;
  for (ValuePlaces& value : places_) value.read = false;
  for (const StepLayout::Operation& op : layout().operations) {
    for (const StepLayout::Columns& c : op.arguments) mark_read(c.value);
    if (op.kind == From::layer_norm || op.kind == From::spread) mark_read(op.x.value);
  }
  place_gradients(run);
  choose_writes();
}

Place LevelProgram::new_scratch(std::int64_t columns, bool by_edge) {
  const std::int64_t rows = by_edge ? widest_edges_ : widest_;
  memory_.push_back(Tensor::empty({rows, columns}, dtype_, device_));
  return rows_of(memory_.back(), Place::at_zero);
}

void LevelProgram::find_gathered_columns() {
  places_.resize(layout().values.size());
  const auto add = [&](const StepLayout::Columns& c) {
    if (layout().values[static_cast<std::size_t>(c.value)].from != From::edge_state) return;
    Gathered& gathered = places_[static_cast<std::size_t>(c.value)].columns;
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
  for (std::size_t v = 0; v < count; ++v) {
    const StepLayout::Value& value = layout().values[v];
    const auto i = static_cast<std::size_t>(value.index);
    switch (value.from) {
      case From::input: places_[v].value = rows_of(run_.input, Place::at_node); break;
      case From::unit: places_[v].value = one_row(run_.units[i]); break;
      case From::extra: places_[v].value = rows_of(run_.extras[i], Place::at_node); break;
      case From::state: {
        const Tensor& states = run_.states[i];
        const bool two = states.rank() == 3;
        places_[v].value =
            rows_of(states, two ? int{Place::at_block_before} : Place::at_slot + value.predecessor);
        if (!schedule().is_chain()) places_[v].gathered = new_scratch(value.size, false);
        break;
      }
      case From::edge_state:
        places_[v].value = rows_of(run_.states[i], Place::at_zero);
        if (places_[v].columns.size > 0) places_[v].gathered = new_scratch(value.size, true);
        break;
      default:
        if (value.part >= 0) {
          const Tensor& states = run_.states[static_cast<std::size_t>(value.part)];
          places_[v].value =
              rows_of(states, states.rank() == 3 ? Place::at_block : Place::at_state);
        } else if (!run_.values.empty() && run_.values[v].defined()) {
          places_[v].value =
              rows_of(run_.values[v], value.by_edge ? Place::at_edge : Place::at_node);
        } else {
          places_[v].value = new_scratch(value.size, value.by_edge);
          places_[v].is_scratch = true;
        }
    }
  }
}

void LevelProgram::place_gradients(const LevelBackward& run) {
  const std::size_t count = layout().values.size();
  for (std::size_t k = 0; k < run.dstates.size(); ++k) {
    if (run.dstates[k].rank() == 3) two_levels_ |= 1U << k;
  }
  for (std::size_t v = 0; v < count; ++v) {
    const StepLayout::Value& value = layout().values[v];
    const auto i = static_cast<std::size_t>(value.index);
    switch (value.from) {
      case From::input: places_[v].gradient = rows_of(run.dinput, Place::at_node); break;
      case From::unit: places_[v].gradient = one_row(run.dunits[i]); break;
      case From::extra: break;
      case From::state:
        places_[v].gradient =
            rows_of(run.dstates[i], two_levels(value.index) ? int{Place::at_block_before}
                                                            : Place::at_slot + value.predecessor);
        if (!schedule().is_chain()) places_[v].dgathered = new_scratch(value.size, false);
        break;
      case From::edge_state:
        places_[v].gradient = rows_of(run.dstates[i], Place::at_zero);
        if (places_[v].columns.size > 0) places_[v].dgathered = new_scratch(value.size, true);
        break;
      default:
        if (value.part >= 0) {
          const auto part = static_cast<std::size_t>(value.part);
          places_[v].gradient = rows_of(run.dstates[part],
                                        two_levels(value.part) ? Place::at_block : Place::at_state);
        } else if (run.dvalues[v].defined()) {
          places_[v].gradient =
              rows_of(run.dvalues[v], value.by_edge ? Place::at_edge : Place::at_node);
        } else {
          places_[v].gradient = new_scratch(value.size, value.by_edge);
        }
    }
  }
}

void LevelProgram::choose_writes() {
  const StepLayout& step = layout();
  const std::size_t count = step.values.size();
  Written written(step);
  for (std::size_t v = 0; v < count; ++v) {
    const StepLayout::Value& value = step.values[v];
    const bool keeps_later =
        value.part >= 0 || (value.from == From::state && !two_levels(value.index));
    if (keeps_later) written.all(static_cast<int>(v));
  }
  const auto choose = [&](int v, std::int64_t first, std::int64_t columns) {
    const From from = step.values[static_cast<std::size_t>(v)].from;
    const bool wanted = dplace(v).base != nullptr;
    if (from == From::unit) return wanted ? Write::sum : Write::none;
    if (!wanted) return Write::none;
    const Write result = written.write(v, first, columns);
    if (result != Write::none) return result;
    places_[static_cast<std::size_t>(v)].cleared = true;
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
  first_write_.resize(step.operations.size());
  writes_.reserve(2 * count);  // enough for most
  for (std::size_t i = step.operations.size(); i-- > 0;) {
    const StepLayout::Operation& op = step.operations[i];
    first_write_[i] = writes_.size();
    const bool by_edge = step.values[static_cast<std::size_t>(op.result)].by_edge;
    if (op.kind == From::formula) {
      for (const StepLayout::Columns& c : op.arguments) {
        for (std::int64_t at = 0; at < c.size; at += op.units) {
          writes_.push_back({choose(c.value, c.first + at, op.units), c.value, op.units, by_edge});
        }
      }
      continue;
    }
    const auto add = [&](const StepLayout::Columns& c) {
      writes_.push_back({choose(c.value, c.first, c.size), c.value});
    };
    for (const StepLayout::Term& term : op.terms) add(term.x);
    if (op.x.given()) {
      // A sum of edges adds the gradients of edge states to those of the states.
      const bool states =
          op.kind == From::edge_sum &&
          step.values[static_cast<std::size_t>(op.x.value)].from == From::edge_state;
      if (states) {
        writes_.push_back({Write::add, op.x.value});
      } else {
        add(op.x);
      }
    }
    ends_with_wait_ = ends_with_wait_ || op.kind == From::layer_norm;
    writes_.push_back({added(op), op.add.value});
  }
  for (std::size_t v = 0; v < count; ++v) {
    const From from = step.values[v].from;
    ValuePlaces& places = places_[v];
    if (from == From::unit || from == From::extra || places.gradient.base == nullptr) continue;
    const std::int64_t all = from == From::edge_state ? places.columns.size : step.values[v].size;
    places.cleared = places.cleared || written.columns(static_cast<int>(v)) != all;
  }
  for (GradientWrite& write : writes_) {
    if (write.way == Write::put && cleared(write.value)) write.way = Write::add;
    const bool adds = write.way == Write::add || write.way == Write::sum;
    if (adds && write.units > 0) write.scratch = new_scratch(write.units, write.by_edge);
  }
}

}  // namespace tapeloop::detail
