// SPDX-License-Identifier: MIT
// The measurements of a tape, and the reports of them. Measures times;
// reads no elements of tensors.
#include "tapeloop/autograd/look/profile.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "tapeloop/autograd/files/files.h"
#include "tapeloop/autograd/look/profile_record.h"

namespace tapeloop {

namespace {

std::int64_t clock_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

double share(double part, double whole) { return whole > 0 ? 100 * part / whole : 0; }

}  // namespace

namespace detail {

Profile::Profile() : begin_(clock_ns()), live_at_start_(memory::stats().live_bytes) {
  live_ = peak_ = live_at_start_;
}

std::int64_t Profile::now() const { return clock_ns() - begin_; }

// The bytes of the results. A view of an input counts 0.
static std::int64_t bytes_of(const RecordedOperation& operation) {
  std::int64_t bytes = 0;
  for (const Var& y : operation.results) {
    const bool view =
        std::any_of(operation.inputs.begin(), operation.inputs.end(), [&y](const Var* x) {
          return x->defined() && storage_of(x->value()) == storage_of(y.value());
        });
    if (!view) bytes += y.numel() * size_of(y.dtype());
  }
  return bytes;
}

void Profile::recorded(const RecordedOperation& operation) {
  const std::int64_t end = now();
  const Shape shape = operation.results.empty() ? Shape{} : operation.results[0].shape();
  nodes_.push_back(
      {operation.name, Scope::path(), shape, bytes_of(operation), operation.in_backward});
  if (!operation.in_backward) {
    spans_.push_back({ProfileEvent::Kind::forward, nodes_.size() - 1, mark_, end - mark_});
  }
  count_memory(ProfileEvent::Kind::forward, nodes_.size() - 1);
  mark_ = now();  // no operation pays for the time of the measurement
}

void Profile::begin(std::size_t /*node*/, NodeWork /*work*/) { starts_.push_back(now()); }

void Profile::end(std::size_t node, NodeWork work) {
  const auto kind =
      work == NodeWork::backward ? ProfileEvent::Kind::backward : ProfileEvent::Kind::deferred;
  const std::int64_t start = starts_.back();
  starts_.pop_back();
  spans_.push_back({kind, node, start, now() - start});
  count_memory(kind, node);
}

void Profile::count_memory(ProfileEvent::Kind kind, std::size_t node) {
  const memory::Stats now = memory::stats();
  if (now.peak_bytes > peak_) {
    peak_ = now.peak_bytes;
    peak_change_ = changes_.size();
    peak_above_ = peak_ - live_;
  }
  changes_.push_back({kind, node, now.live_bytes - live_});
  live_ = now.live_bytes;
}

MemoryReport Profile::memory() const {
  const memory::Stats now = memory::stats();
  std::map<std::pair<std::string, std::string>, MemoryRow> rows;
  const auto row_of = [&](std::size_t i) -> MemoryRow& {
    // Changes after the last operation have a row of their own.
    if (i == changes_.size()) return rows[{"", "(since the last operation)"}];
    const Node& node = nodes_[changes_[i].node];
    const bool deferred = changes_[i].kind == ProfileEvent::Kind::deferred;
    return rows[{node.scope, std::string(node.operation) + (deferred ? " dW" : "")}];
  };
  const bool since = now.peak_bytes > peak_;
  const std::size_t peak_change = since ? changes_.size() : peak_change_;
  const std::int64_t above = since ? now.peak_bytes - live_ : peak_above_;
  MemoryReport result;
  result.bytes = now.live_bytes;
  result.peak_bytes = std::max(peak_, now.peak_bytes);
  for (std::size_t i = 0; i < changes_.size(); ++i) {
    MemoryRow& row = row_of(i);
    row.bytes += changes_[i].bytes;
    if (i < peak_change) row.peak_bytes += changes_[i].bytes;
  }
  row_of(changes_.size()).bytes = now.live_bytes - live_;
  rows[{"", "(before the tape)"}] = {"", "", live_at_start_, live_at_start_};
  if (above > 0) row_of(peak_change).peak_bytes += above;
  for (auto& [key, row] : rows) {
    row.scope = key.first;
    row.operation = key.second;
    result.rows.push_back(std::move(row));
  }
  if (above > 0 && peak_change < changes_.size()) {
    const Change& change = changes_[peak_change];
    const bool forward = change.kind == ProfileEvent::Kind::forward;
    result.peak_operation =
        std::string(nodes_[change.node].operation) + (forward ? ", forward" : ", backward");
  }
  std::stable_sort(
      result.rows.begin(), result.rows.end(),
      [](const MemoryRow& a, const MemoryRow& b) { return a.peak_bytes > b.peak_bytes; });
  return result;
}

ProfileReport Profile::report() const {
  ProfileReport result;
  std::map<std::pair<std::string, std::string>, ProfileRow> rows;
  const auto row_of = [&rows](const std::string& scope, const std::string& operation) {
    ProfileRow& row = rows[{scope, operation}];
    row.scope = scope;
    row.operation = operation;
    return &row;
  };
  for (const Node& node : nodes_) {
    ProfileRow* row = row_of(node.scope, node.operation);
    ++row->calls;
    row->bytes += node.bytes;
  }
  for (const Span& span : spans_) {
    const Node& node = nodes_[span.node];
    const bool deferred = span.kind == ProfileEvent::Kind::deferred;
    const std::string operation = std::string(node.operation) + (deferred ? " dW" : "");
    ProfileRow* row = row_of(node.scope, operation);
    const bool forward = span.kind == ProfileEvent::Kind::forward;
    (forward ? row->forward_ms : row->backward_ms) += static_cast<double>(span.duration) * 1e-6;
    if (deferred) ++row->calls;
    result.events.push_back({span.kind, span.node, node.scope, operation, node.shape,
                             deferred ? 0 : node.bytes, static_cast<double>(span.start) * 1e-3,
                             static_cast<double>(span.duration) * 1e-3});
  }
  for (auto& [key, row] : rows) result.rows.push_back(std::move(row));
  std::stable_sort(result.rows.begin(), result.rows.end(),
                   [](const ProfileRow& a, const ProfileRow& b) {
                     return a.forward_ms + a.backward_ms > b.forward_ms + b.backward_ms;
                   });
  return result;
}

}  // namespace detail

std::string ProfileReport::str() const {
  ProfileRow total{"total", "", 0, 0, 0, 0};
  std::size_t scope_width = 5;
  std::size_t operation_width = 9;
  for (const ProfileRow& row : rows) {
    total.calls += row.calls;
    total.forward_ms += row.forward_ms;
    total.backward_ms += row.backward_ms;
    total.bytes += row.bytes;
    scope_width = std::max(scope_width, row.scope.size());
    operation_width = std::max(operation_width, row.operation.size());
  }
  const double whole = total.forward_ms + total.backward_ms;
  const auto line = [&](const ProfileRow& row) {
    return fmt::format("{:{}}  {:{}}  {:>8}  {:>10.3f}  {:>11.3f}  {:>6.1f}  {:>9.3f}\n", row.scope,
                       scope_width, row.operation, operation_width, row.calls, row.forward_ms,
                       row.backward_ms, share(row.forward_ms + row.backward_ms, whole),
                       static_cast<double>(row.bytes) / (1 << 20));
  };
  std::string result =
      fmt::format("{:{}}  {:{}}  {:>8}  {:>10}  {:>11}  {:>6}  {:>9}\n", "scope", scope_width,
                  "operation", operation_width, "calls", "forward ms", "backward ms", "%", "MiB");
  for (const ProfileRow& row : rows) result += line(row);
  return result + line(total);
}

std::string MemoryReport::str() const {
  std::size_t scope_width = 5, operation_width = 9;
  for (const MemoryRow& row : rows) {
    scope_width = std::max(scope_width, row.scope.size());
    operation_width = std::max(operation_width, row.operation.size());
  }
  const auto line = [&](const std::string& scope, const std::string& operation, std::int64_t now,
                        std::int64_t peak) {
    return fmt::format("{:{}}  {:{}}  {:>11.3f}  {:>11.3f}\n", scope, scope_width, operation,
                       operation_width, static_cast<double>(now) / (1 << 20),
                       static_cast<double>(peak) / (1 << 20));
  };
  std::string result = fmt::format("{:{}}  {:{}}  {:>11}  {:>11}\n", "scope", scope_width,
                                   "operation", operation_width, "MiB now", "MiB at peak");
  for (const MemoryRow& row : rows)
    result += line(row.scope, row.operation, row.bytes, row.peak_bytes);
  result += line("total", "", bytes, peak_bytes);
  if (!peak_operation.empty()) result += "The peak was reached in " + peak_operation + ".\n";
  return result;
}

void ProfileReport::write_chrome_trace(const std::string& path) const {
  using Json = nlohmann::json;
  Json list = Json::array();
  for (int track : {1, 2}) {
    list.push_back({{"name", "thread_name"},
                    {"ph", "M"},
                    {"pid", 1},
                    {"tid", track},
                    {"args", {{"name", track == 1 ? "forward" : "backward"}}}});
  }
  for (const ProfileEvent& event : events) {
    list.push_back({{"name", event.operation},
                    {"cat", event.scope},
                    {"ph", "X"},
                    {"pid", 1},
                    {"tid", event.kind == ProfileEvent::Kind::forward ? 1 : 2},
                    {"ts", event.start_us},
                    {"dur", event.duration_us},
                    {"args",
                     {{"scope", event.scope},
                      {"shape", event.shape.str()},
                      {"bytes", event.bytes},
                      {"node", event.node}}}});
  }
  // The trace must be UTF-8, but names can have any bytes: invalid ones are replaced.
  write_file(path, Json{{"traceEvents", std::move(list)}, {"displayTimeUnit", "ms"}}.dump(
                       -1, ' ', false, Json::error_handler_t::replace));
}

}  // namespace tapeloop
