// SPDX-License-Identifier: MIT
// The list of rows and their arithmetic.
#include "bench/gpu/rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <span>

#include "bench/peers/row.h"

namespace bench {
namespace {

struct Sizes {
  int t, n, h;  // time steps, batch, inputs and hidden units
};
constexpr Sizes kMainShapes[] = {{1024, 16, 768}, {128, 64, 1024}};
constexpr Sizes kShapes[] = {
    {1024, 16, 768}, {128, 64, 1024}, {128, 64, 512}, {128, 64, 256}, {64, 1, 256}};
constexpr Sizes kSmall[] = {{3, 2, 4}};

std::vector<std::string> limits(int side, int mib) {
  return {fmt::format("gpu/gemm/float32/M:{0}/N:{0}/K:{0}", side),
          fmt::format("gpu/gemm/tf32/M:{0}/N:{0}/K:{0}", side), fmt::format("gpu/copy/MiB:{}", mib),
          fmt::format("gpu/multiply_add/MiB:{}", mib), "gpu/launch/N:1"};
}

void add_layers(std::vector<std::string>& rows, std::span<const Sizes> shapes,
                std::initializer_list<const char*> cells,
                std::initializer_list<const char*> maths) {
  for (const Sizes& s : shapes) {
    for (const char* cell : cells) {
      for (const char* pass : {"step", "forward"}) {
        for (const char* math : maths) {
          const std::string row =
              fmt::format("gpu/{}/{}/{}/T:{}/N:{}/I:{}/H:{}", cell, pass, math, s.t, s.n, s.h, s.h);
          if (std::find(rows.begin(), rows.end(), row) == rows.end()) rows.push_back(row);
        }
      }
    }
  }
}

constexpr std::initializer_list<const char*> kAllCells = {"lstm", "gru", "user_cell", "op_by_op"};
constexpr std::initializer_list<const char*> kAllMaths = {"float32", "tf32"};

}  // namespace

std::vector<std::string> main_rows() {
  std::vector<std::string> rows = limits(8192, 1024);
  add_layers(rows, kMainShapes, {"lstm"}, kAllMaths);
  add_layers(rows, kMainShapes, {"user_cell"}, {"float32"});
  return rows;
}

std::vector<std::string> all_rows() {
  std::vector<std::string> rows = main_rows();
  add_layers(rows, kShapes, kAllCells, kAllMaths);
  return rows;
}

std::vector<std::string> quick_rows() {
  std::vector<std::string> rows = limits(8, 1);
  add_layers(rows, kSmall, {"lstm"}, kAllMaths);
  add_layers(rows, kSmall, kAllCells, {"float32"});
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
