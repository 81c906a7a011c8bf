// SPDX-License-Identifier: MIT
// Divides a scan over threads: by rows of the batch and by units, so that no result depends on the
// number of threads.
#include "tapeloop/autograd/device/cpu/scan/scan.h"

#include <algorithm>

#include "tapeloop/autograd/device/cpu/kernels.h"
#include "tapeloop/autograd/device/cpu/threads.h"

namespace tapeloop::cpu {

namespace {

// Columns of a line: threads divide a row at whole lines, so that no two of them write one line of
// the cache, and a column is in the same register for any number of threads.
constexpr std::int64_t kLine = 16;
// Columns whose states stay in the second cache from step to step. Fewer would cut rows of memory.
constexpr std::int64_t kColumnsAtOnce = 16384;
// With fewer elements a second thread costs more than it saves.
constexpr std::int64_t kGrain = 16384;

const ScanKernels& scan_kernels() {
#if defined(TAPELOOP_WITH_AVX512)
  if (use_avx512()) return scan_kernels_for<isa::Avx512>();
#endif
  return scan_kernels_for<isa::Native>();
}
template <class T>
void run_columns(const ScanRun& scan, const ScanColumns<T>& columns) {
  if constexpr (sizeof(T) == 4) {
    scan_kernels().float32(scan, columns);
  } else {
    scan_kernels().float64(scan, columns);
  }
}

// The rows of all three are one long row if they are next to each other.
bool joins_rows(const ScanRun& scan) {
  const std::int64_t units = scan.h.dim(2);
  return scan.kind != ScanKind::complex && scan.a.stride(1) == units && scan.b.stride(1) == units;
}

}  // namespace

void scan(const ScanRun& given) {
  ScanRun scan = given;
  if (scan.h.numel() == 0) return;
  scan.h.mark_written();
  const std::int64_t steps = scan.h.dim(0);
  if (scan.a.stride(0) == 0 && scan.a.stride(1) == 0 && scan.h.dim(1) > 1) {
    // One row of coefficients: a copy for each row of the batch makes all rows one.
    scan.a = scan.a.slice(0, 0, 1).contiguous().expand(scan.h.shape());
  }
  const bool joined = joins_rows(scan);
  const std::int64_t rows = joined ? 1 : scan.h.dim(1);
  const std::int64_t width = scan.h.numel() / (steps * rows);  // of a row
  const std::int64_t columns = scan.kind == ScanKind::complex ? width / 2 : width;
  const std::int64_t lines = (columns + kLine - 1) / kLine;
  const std::int64_t first = scan.reverse ? steps - 1 : 0, direction = scan.reverse ? -1 : 1;
  const auto stride = [&](const Tensor& x) { return steps > 1 ? x.stride(0) : 0; };
  with_float_type(scan.h.dtype(), [&]<class T>(T) {
    ScanColumns<T> all{};
    all.steps = steps;
    all.a_step = direction * stride(scan.a);
    all.b_step = direction * stride(scan.b);
    all.h_step = direction * stride(scan.h);
    all.imaginary = columns;
    all.a = scan.a.read<T>() + first * stride(scan.a);
    all.b = scan.b.read<T>() + first * stride(scan.b);
    all.h = static_cast<T*>(scan.h.raw()) + first * stride(scan.h);
    all.start = scan.start.defined() ? scan.start.read<T>() : nullptr;
    all.a_row = joined ? 0 : scan.a.stride(1);
    all.b_row = joined ? 0 : scan.b.stride(1);
    all.h_row = width;
    const auto part = [&](std::int64_t row, std::int64_t count, std::int64_t from,
                          std::int64_t to) {
      for (; from < to; from += kColumnsAtOnce) {
        ScanColumns<T> c = all;
        c.rows = count;
        c.columns = std::min(kColumnsAtOnce, to - from);
        c.a += row * c.a_row + from;
        if (scan.delayed) c.a -= c.a_step;
        c.b += row * c.b_row + from;
        c.h += row * c.h_row + from;
        if (c.start != nullptr) c.start += row * c.h_row + from;
        run_columns<T>(scan, c);
      }
    };
    const std::int64_t rows_at_once = std::max<std::int64_t>(1, kColumnsAtOnce / columns);
    const std::int64_t grain = std::max<std::int64_t>(1, kGrain / (steps * kLine));
    parallel_for(rows * lines, grain, [&](std::int64_t begin, std::int64_t end) {
      while (begin < end) {
        const std::int64_t row = begin / lines, line = begin % lines;
        const std::int64_t whole = line == 0 ? (end - begin) / lines : 0;
        if (whole > 1) {
          const std::int64_t count = std::min(whole, rows_at_once);
          part(row, count, 0, columns);
          begin += count * lines;
          continue;
        }
        const std::int64_t last = std::min(lines, line + end - begin);
        part(row, 1, line * kLine, std::min(columns, last * kLine));
        begin += last - line;
      }
    });
  });
}

}  // namespace tapeloop::cpu
