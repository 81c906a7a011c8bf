// SPDX-License-Identifier: MIT
#include "tapeloop/autograd/device/schedule_tables.h"

#include <functional>

#include "tapeloop/autograd/device/graph_capture.h"

namespace tapeloop::detail {

ScheduleTables::ScheduleTables(const Schedule& schedule, Device device) : host_(schedule.tables()) {
  std::int64_t size = 0;
  for (const auto& table : host_) size += static_cast<std::int64_t>(table.size());
  if (device == Device::cpu || size == 0) return;
  const std::shared_ptr<KeptTables> kept = schedule.kept_tables();
  {
    const std::scoped_lock lock(kept->mutex);
    there_ = kept->all;
  }
  if (there_.defined()) {
    if (GraphCapture* const capture = GraphCapture::current()) capture->reads(kept);
    return;
  }
  // Without the lock, because a copy waits for captures of other threads, which may want the lock.
  cannot_capture(
      "a Schedule was made in the step, also if lengths or resets of sequences were given, and its "
      "tables were copied to the GPU; make the Schedule before the step and call the step once "
      "without a graph, or give all sequences one length");
  const Tensor all = Tensor::empty({size}, DType::int64);
  auto* to = static_cast<std::int64_t*>(all.raw());
  for (const auto& table : host_) to = std::copy(table.begin(), table.end(), to);
  there_ = all.to(device);
  const std::scoped_lock lock(kept->mutex);
  kept->all = there_;
}

std::int64_t ScheduleTables::offset_of(const std::int64_t* host) const {
  std::int64_t offset = 0;
  for (const auto& table : host_) {
    const std::int64_t* const end = table.data() + table.size();
    if (std::less_equal<>()(table.data(), host) && std::less<>()(host, end)) {
      return offset + (host - table.data());
    }
    offset += static_cast<std::int64_t>(table.size());
  }
  return 0;
}

Tensor ScheduleTables::list(std::span<const std::int64_t> host) const {
  const auto size = static_cast<std::int64_t>(host.size());
  if (!there_.defined()) return Tensor::from({size}, host);
  const std::int64_t first = offset_of(host.data());
  return there_.slice(0, first, first + size);
}

const std::int64_t* ScheduleTables::address(const std::int64_t* host) const {
  if (host == nullptr || !there_.defined()) return host;
  return static_cast<const std::int64_t*>(there_.raw()) + offset_of(host);
}

}  // namespace tapeloop::detail
