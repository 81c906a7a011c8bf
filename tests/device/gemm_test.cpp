// SPDX-License-Identifier: MIT
// Checks the CPU matrix product against a plain triple loop: sizes, strides, pieces, threads,
// bounds. Does not check speed.
#include "tapeloop/autograd/device/cpu/gemm.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <limits>
#include <random>
#include <span>
#include <vector>

#include "tapeloop/autograd/device/cpu/gemm_kernel.h"
#include "tapeloop/autograd/device/cpu/threads.h"
#include "tapeloop/autograd/number/isa.h"

namespace {

using tapeloop::GemmPiece;
using tapeloop::MatrixView;
namespace isa = tapeloop::isa;

enum class Layout { row_major, transposed, scattered, repeated_rows, repeated_columns };

constexpr Layout kLayouts[] = {Layout::row_major, Layout::transposed, Layout::scattered,
                               Layout::repeated_rows, Layout::repeated_columns};

// A random matrix in exactly as many elements as its layout needs, so that address checkers see
// every access beyond them.
template <class T>
struct Matrix {
  std::vector<T> elements;
  std::int64_t row_stride = 0;
  std::int64_t column_stride = 0;

  Matrix(std::int64_t rows, std::int64_t columns, Layout layout, std::mt19937& random) {
    switch (layout) {
      case Layout::row_major: row_stride = columns + 3, column_stride = 1; break;
      case Layout::transposed: row_stride = 1, column_stride = rows + 1; break;
      case Layout::scattered: row_stride = 2 * columns + 1, column_stride = 2; break;
      case Layout::repeated_rows: row_stride = 0, column_stride = 1; break;
      case Layout::repeated_columns: row_stride = 1, column_stride = 0; break;
    }
    if (rows == 0 || columns == 0) return;
    elements.resize(
        static_cast<std::size_t>((rows - 1) * row_stride + (columns - 1) * column_stride + 1));
    std::uniform_real_distribution<double> uniform(-1, 1);
    for (T& x : elements) x = static_cast<T>(uniform(random));
  }
  MatrixView<T> view() const { return {elements.data(), row_stride, column_stride}; }
};

template <class T>
struct Case {
  std::int64_t m;
  std::int64_t n;
  std::vector<Matrix<T>> matrices;
  std::vector<GemmPiece<T>> pieces;

  Case(std::int64_t rows, std::int64_t columns, const std::vector<std::int64_t>& depths, Layout a,
       Layout b, std::mt19937& random)
      : m(rows), n(columns) {
    for (const std::int64_t k : depths) {
      matrices.emplace_back(m, k, a, random);
      matrices.emplace_back(k, n, b, random);
    }
    for (std::size_t i = 0; i < depths.size(); ++i) {
      pieces.push_back({matrices[2 * i].view(), matrices[2 * i + 1].view(), depths[i]});
    }
  }
};

// C with guard elements before, after and between its rows.
template <class T>
struct Result {
  static constexpr std::int64_t guard = 5;
  std::int64_t m, n, ldc;
  std::vector<T> elements;

  Result(std::int64_t rows, std::int64_t columns) : m(rows), n(columns), ldc(columns + guard) {
    elements.assign(static_cast<std::size_t>(m * ldc + 2 * guard), T{-77});
  }
  T* data() { return elements.data() + guard; }
  T& at(std::int64_t i, std::int64_t j) { return data()[i * ldc + j]; }
  bool guards_intact() const {
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(elements.size()); ++i) {
      const std::int64_t offset = i - guard;
      const bool inside = offset >= 0 && offset < m * ldc && offset % ldc < n;
      if (!inside && elements[static_cast<std::size_t>(i)] != T{-77}) return false;
    }
    return true;
  }
};

template <class Isa, class T>
Result<T> multiply(const Case<T>& problem, bool accumulate) {
  Result<T> c(problem.m, problem.n);
  for (std::int64_t i = 0; i < problem.m; ++i) {
    for (std::int64_t j = 0; j < problem.n; ++j) {
      c.at(i, j) =
          accumulate ? static_cast<T>(i - 2 * j) / 16 : std::numeric_limits<T>::quiet_NaN();
    }
  }
  tapeloop::gemm<Isa, T>(problem.m, problem.n, std::span<const GemmPiece<T>>(problem.pieces),
                         c.data(), c.ldc, accumulate);
  return c;
}

template <class T>
double largest_excess(const Case<T>& problem, Result<T>& c, bool accumulate) {
  double worst = 0;
  for (std::int64_t i = 0; i < problem.m; ++i) {
    for (std::int64_t j = 0; j < problem.n; ++j) {
      double sum = accumulate ? static_cast<double>(static_cast<T>(i - 2 * j) / 16) : 0.0;
      double magnitude = std::abs(sum);
      std::int64_t terms = 1;
      for (const GemmPiece<T>& piece : problem.pieces) {
        for (std::int64_t p = 0; p < piece.k; ++p) {
          const double product =
              static_cast<double>(
                  piece.a.data[i * piece.a.row_stride + p * piece.a.column_stride]) *
              static_cast<double>(piece.b.data[p * piece.b.row_stride + j * piece.b.column_stride]);
          sum += product;
          magnitude += std::abs(product);
        }
        terms += piece.k;
      }
      // Rounding each of `terms` sums once: the textbook bound, which holds for any order.
      const double allowed = static_cast<double>(terms) *
                             static_cast<double>(std::numeric_limits<T>::epsilon()) * magnitude;
      const double error = std::abs(static_cast<double>(c.at(i, j)) - sum);
      if (!(error <= allowed)) worst = std::max(worst, std::isnan(error) ? 1e300 : error - allowed);
    }
  }
  return worst;
}

template <class Isa, class T>
void check(const Case<T>& problem, bool accumulate) {
  Result<T> c = multiply<Isa, T>(problem, accumulate);
  CHECK(largest_excess(problem, c, accumulate) == 0.0);
  CHECK(c.guards_intact());
}

struct Threads {
  explicit Threads(int count) { tapeloop::set_num_threads(count); }
  ~Threads() { tapeloop::set_num_threads(1); }
};

constexpr std::int64_t kSizes[] = {0, 1, 2, 3, 5, 15, 16, 17, 31, 33, 63, 64, 65, 130};

std::int64_t any_size(std::mt19937& random) { return kSizes[random() % std::size(kSizes)]; }

}  // namespace

TEST_CASE_TEMPLATE("gemm agrees with the triple loop for every layout of A and B", T, float,
                   double) {
  std::mt19937 random(1);
  for (const Layout a : kLayouts) {
    for (const Layout b : kLayouts) {
      for (int i = 0; i < 60; ++i) {
        const std::int64_t m = any_size(random), n = any_size(random), k = any_size(random);
        const bool accumulate = i % 2 == 1;
        CAPTURE(static_cast<int>(a));
        CAPTURE(static_cast<int>(b));
        CAPTURE(m);
        CAPTURE(n);
        CAPTURE(k);
        CAPTURE(accumulate);
        const Case<T> problem(m, n, {k}, a, b, random);
        check<isa::Native, T>(problem, accumulate);
        if (i % 4 == 0) check<isa::Baseline, T>(problem, accumulate);
      }
    }
  }
}

TEST_CASE_TEMPLATE("gemm of few rows or columns agrees with the triple loop", T, float, double) {
  std::mt19937 random(2);
  for (std::int64_t few = 1; few <= 9; ++few) {
    for (const std::int64_t many : {1, 7, 40, 129}) {
      for (const std::int64_t k : {1, 3, 4, 15, 16, 29, 100}) {
        for (const Layout a : kLayouts) {
          for (const Layout b : {Layout::row_major, Layout::transposed}) {
            CAPTURE(few);
            CAPTURE(many);
            CAPTURE(k);
            check<isa::Native, T>(Case<T>(few, many, {k}, a, b, random), k % 2 == 0);
            check<isa::Native, T>(Case<T>(many, few, {k}, a, b, random), k % 2 == 1);
          }
        }
      }
    }
  }
}

TEST_CASE_TEMPLATE("gemm crosses cache blocks in every dimension", T, float, double) {
  std::mt19937 random(3);
  for (const Layout a : {Layout::row_major, Layout::transposed}) {
    for (const Layout b : {Layout::row_major, Layout::transposed}) {
      check<isa::Native, T>(Case<T>(401, 101, {33}, a, b, random), false);
      check<isa::Native, T>(Case<T>(37, 51, {1301}, a, b, random), true);
      check<isa::Native, T>(Case<T>(3, 51, {1301}, a, b, random), true);
    }
  }
}

TEST_CASE_TEMPLATE("gemm adds up pieces of different depths, empty ones too", T, float, double) {
  std::mt19937 random(4);
  for (const Layout a : {Layout::row_major, Layout::transposed}) {
    for (const Layout b : {Layout::row_major, Layout::transposed, Layout::scattered}) {
      for (const std::int64_t m : {1, 4, 6, 50}) {
        for (const std::int64_t n : {1, 50}) {
          CAPTURE(m);
          CAPTURE(n);
          check<isa::Native, T>(Case<T>(m, n, {0, 1, 0, 32, 300, 5, 0, 0}, a, b, random), false);
          check<isa::Native, T>(Case<T>(m, n, {32, 32, 32, 17}, a, b, random), true);
          check<isa::Native, T>(Case<T>(m, n, {0, 0}, a, b, random), false);
          check<isa::Native, T>(Case<T>(m, n, {}, a, b, random), true);
        }
      }
    }
  }
}

// One problem of depth k * count, whose inner dimension is `count` pieces.
template <class T>
std::vector<GemmPiece<T>> in_pieces(const GemmPiece<T>& whole, std::int64_t k, std::int64_t count) {
  std::vector<GemmPiece<T>> pieces;
  for (std::int64_t i = 0; i < count; ++i) {
    GemmPiece<T> piece = whole;
    piece.a.data += i * k * piece.a.column_stride;
    piece.b.data += i * k * piece.b.row_stride;
    piece.k = k;
    pieces.push_back(piece);
  }
  return pieces;
}

TEST_CASE_TEMPLATE("gemm over pieces of one group gives the bits of one product", T, float,
                   double) {
  std::mt19937 random(5);
  const std::int64_t m = 45, n = 70, k = 32, count = tapeloop::kGemmGroup / k;
  const Case<T> whole(m, n, {k * count}, Layout::transposed, Layout::row_major, random);
  Case<T> split(m, n, {}, Layout::transposed, Layout::row_major, random);
  split.pieces = in_pieces(whole.pieces[0], k, count);
  CHECK(multiply<isa::Native, T>(whole, false).elements ==
        multiply<isa::Native, T>(split, false).elements);
}

TEST_CASE_TEMPLATE("gemm cut between two groups and added up gives the bits of a single call", T,
                   float, double) {
  std::mt19937 random(15);
  for (const std::int64_t n : {70, 3}) {
    const std::int64_t m = 45, k = 100, count = 11;  // three pieces are a group
    const Case<T> whole(m, n, {k * count}, Layout::transposed, Layout::row_major, random);
    const std::vector<GemmPiece<T>> pieces = in_pieces(whole.pieces[0], k, count);
    const auto size = static_cast<std::size_t>(m * n);
    std::vector<T> at_once(size), in_turn(size);
    const std::span<const GemmPiece<T>> all(pieces);
    tapeloop::gemm<isa::Native, T>(m, n, all, at_once.data(), n, false);
    tapeloop::gemm<isa::Native, T>(m, n, all.first(6), in_turn.data(), n, false);
    tapeloop::gemm<isa::Native, T>(m, n, all.subspan(6), in_turn.data(), n, true);
    CHECK(at_once == in_turn);
  }
}

TEST_CASE_TEMPLATE("gemm gives the same bits with one, two and three threads", T, float, double) {
  std::mt19937 random(6);
  for (const Layout b : {Layout::row_major, Layout::transposed}) {
    constexpr std::int64_t shapes[][2] = {{1, 5003},  {3, 2001}, {32, 517}, {517, 32},
                                          {200, 201}, {5003, 1}, {3001, 3}};
    for (const auto& shape : shapes) {
      const std::int64_t m = shape[0], n = shape[1];
      CAPTURE(m);
      CAPTURE(n);
      const Case<T> problem(m, n, {600}, Layout::row_major, b, random);
      Result<T> one = multiply<isa::Native, T>(problem, true);
      CHECK(largest_excess(problem, one, true) == 0.0);
      for (const int count : {2, 3}) {
        const Threads threads(count);
        CHECK(multiply<isa::Native, T>(problem, true).elements == one.elements);
      }
    }
  }
}

TEST_CASE("gemm keeps infinities and NaN of the operands and adds none of its own") {
  const float infinity = std::numeric_limits<float>::infinity();
  for (const std::int64_t n :
       {3, 33}) {  // neither padding nor masked lanes may turn infinity into NaN
    for (const std::int64_t m : {1, 7}) {
      for (const std::int64_t k : {5, 19}) {
        const std::vector<float> a(static_cast<std::size_t>(m * k), 1.0F);
        const std::vector<float> b(static_cast<std::size_t>(k * n), infinity);
        std::vector<float> c(static_cast<std::size_t>(m * n));
        for (const MatrixView<float> view : {MatrixView<float>{b.data(), n, 1}, {b.data(), 1, k}}) {
          const GemmPiece<float> piece{{a.data(), k, 1}, view, k};
          tapeloop::gemm<isa::Native, float>(m, n, {&piece, 1}, c.data(), n, false);
          for (const float x : c) CHECK(x == infinity);
        }
      }
    }
  }
}

TEST_CASE("a packing buffer grows to the largest size asked for and then stays where it is") {
  using tapeloop::memory::scratch;
  const std::int64_t counted = tapeloop::memory::stats().live_bytes;
  const void* large = scratch(tapeloop::kGemmSmallSide, 1 << 20);
  CHECK(reinterpret_cast<std::uintptr_t>(large) % 64 == 0);
  CHECK(scratch(tapeloop::kGemmPanels, 100) != large);
  CHECK(scratch(tapeloop::kGemmSmallSide, 64) == large);
  CHECK(scratch(tapeloop::kGemmSmallSide, 1 << 20) == large);
  CHECK(tapeloop::memory::stats().live_bytes == counted);
}
