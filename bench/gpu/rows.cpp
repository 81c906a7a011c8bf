// SPDX-License-Identifier: MIT
// The list of rows and their arithmetic.
#include "bench/gpu/rows.h"

#include <fmt/format.h>

#include "bench/peers/row.h"

namespace bench {
namespace {

struct Sizes {
  int t, n, h;  // time steps, batch, inputs and hidden units
};
constexpr Sizes kShapes[] = {
    {1024, 16, 768}, {128, 64, 256}, {128, 64, 512}, {128, 64, 1024}, {64, 1, 256}};
constexpr Sizes kSmall[] = {{3, 2, 4}};

}  // namespace

std::vector<std::string> gpu_rows(bool quick) {
  std::vector<std::string> rows;
  const int side = quick ? 8 : 8192, mib = quick ? 1 : 1024;
  for (const char* math : {"float32", "tf32"}) {
    rows.push_back(fmt::format("gpu/gemm/{}/M:{}/N:{}/K:{}", math, side, side, side));
  }
  rows.push_back(fmt::format("gpu/copy/MiB:{}", mib));
  rows.push_back(fmt::format("gpu/multiply_add/MiB:{}", mib));
  rows.emplace_back("gpu/launch/N:1");
  for (const Sizes& s : quick ? std::vector<Sizes>(std::begin(kSmall), std::end(kSmall))
                              : std::vector<Sizes>(std::begin(kShapes), std::end(kShapes))) {
    for (const char* cell : {"lstm", "gru", "user_cell", "op_by_op"}) {
      for (const char* pass : {"forward", "step"}) {
        for (const char* math : {"float32", "tf32"}) {
          rows.push_back(fmt::format("gpu/{}/{}/{}/T:{}/N:{}/I:{}/H:{}", cell, pass, math, s.t, s.n,
                                     s.h, s.h));
        }
      }
    }
  }
  return rows;
}

Work work_of(const std::string& name) {
  const peer::Row row = peer::parse_row(name);
  const auto size = [&](const char* key) { return static_cast<double>(row.at(key)); };
  const auto is = [&](const char* part) { return row.kind.starts_with(part); };
  if (is("gpu/gemm/")) return {.flops = 2 * size("M") * size("N") * size("K")};
  if (is("gpu/copy")) return {.bytes = 2 * size("MiB") * 1048576};
  if (is("gpu/multiply_add")) return {.bytes = 4 * size("MiB") * 1048576};
  if (is("gpu/launch")) return {};
  const double gates = is("gpu/gru/") ? 3 : 4;
  const bool recurrent =
      is("gpu/lstm/") || is("gpu/gru/") || is("gpu/user_cell/") || is("gpu/op_by_op/");
  if (!recurrent) throw std::runtime_error("there is no row of this kind: " + name);
  const double passes = row.kind.find("/step/") != std::string::npos ? 3 : 1;
  return {.flops =
              passes * 2 * size("T") * size("N") * gates * size("H") * (size("I") + size("H"))};
}

}  // namespace bench
