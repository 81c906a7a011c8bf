// SPDX-License-Identifier: MIT
// GEMM: cache blocks, the choice of algorithm, and the split over threads. Only files that are
// compiled once per instruction set include this header: every function is a template on Isa.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <span>

#include "tapeloop/autograd/device/cpu/gemm.h"
#include "tapeloop/autograd/device/cpu/gemm_pack.h"
#include "tapeloop/autograd/device/cpu/gemm_tile.h"
#include "tapeloop/autograd/device/cpu/threads.h"

namespace tapeloop {

// The start of a block of the concatenated inner dimension: `offset` steps into piece `piece`.
template <class Isa, class T>
struct PieceCursor {
  const GemmPiece<T>* piece;
  std::int64_t offset;

  // Calls visit(piece, first step in it, steps, steps before it) for the next `depth` steps, and
  // moves past them.
  template <class Visit>
  TL_HD void advance(std::int64_t depth, Visit visit) {
    std::int64_t done = 0;
    while (done < depth) {
      const std::int64_t left = piece->k - offset;
      if (left > 0) {
        const std::int64_t steps = left < depth - done ? left : depth - done;
        visit(*piece, offset, steps, done);
        done += steps;
        offset += steps;
      }
      if (offset == piece->k && done < depth) {
        ++piece;
        offset = 0;
      }
    }
  }
};

// Cuts the concatenated inner dimension into blocks. Takes pieces in groups of at least kGemmGroup
// steps and cuts each group evenly. So a list of pieces that is cut between two groups and
// accumulated in two calls gives the same bits.
template <class Isa, class T>
struct DepthCutter {
  const GemmPiece<T>* piece;
  const GemmPiece<T>* end;
  std::int64_t left = 0;  // steps left in the group
  std::int64_t even = 0;  // steps of each block of the group

  TL_HD std::int64_t next(std::int64_t most) {
    if (left == 0) {
      while (piece != end && left < kGemmGroup) left += (piece++)->k;
      const std::int64_t blocks = (left + most - 1) / most;
      even = blocks == 0 ? 0 : ((left + blocks - 1) / blocks + 15) / 16 * 16;
    }
    const std::int64_t depth = even < left ? even : left;
    left -= depth;
    return depth;
  }
};

// Packed B: the columns of B are cut into panels of whole vectors; the last panel is filled up with
// zeros. A panel holds its columns for the whole inner dimension, one step after the other: element
// (p, j) of the panel is at p * lead + j, where lead is the panel's rounded width. So any block of
// steps is a contiguous range.
template <class Isa, class T>
struct PanelB {
  static constexpr std::int64_t width = Vec<T, Isa>::width;

  // Packs steps [cursor, cursor + depth) of columns [first, first + count).
  static void pack(PieceCursor<Isa, T> cursor, std::int64_t depth, std::int64_t first,
                   std::int64_t count, std::int64_t lead, T* panel) {
    cursor.advance(
        depth, [=](const GemmPiece<T>& piece, std::int64_t step, std::int64_t steps,
                   std::int64_t before) __attribute__((always_inline)) {
          const MatrixView<T>& b = piece.b;
          Packer<Isa, T>::pack(b.data + step * b.row_stride + first * b.column_stride, b.row_stride,
                               b.column_stride, steps, count, panel + before * lead, lead);
        });
  }
};

template <class Isa, class T>
struct Gemm {
  using Shape = TileShape<Isa>;
  static constexpr std::int64_t width = Vec<T, Isa>::width;
  static constexpr std::int64_t max_depth = 1024 / static_cast<std::int64_t>(sizeof(T));
  static constexpr std::int64_t max_block_rows = 1024;
  // If this many row panels or fewer use B, it is read in place: packing it would not pay. A stride
  // of whole pages maps all rows of B to the same few sets of the L1 cache, so the limit is lower
  // then.
  static constexpr std::int64_t in_place_panels = 8;
  static constexpr std::int64_t in_place_panels_aliased = 4;
  // At most this many rows are multiplied by dot products.
  static constexpr std::int64_t dot_rows = 8;
  // A result with at most this many columns is computed as its transpose.
  static constexpr std::int64_t few_columns = 4;
  // A dot product accumulates this many steps before it writes to C.
  static constexpr std::int64_t dot_depth = 4096;
  static constexpr double flops_per_thread = 1e6;

  std::int64_t m, n, k;
  const GemmPiece<T>* pieces;
  std::int64_t piece_count;
  T* c;
  std::int64_t ldc;
  bool accumulate;

  // The cut of A's rows and B's columns does not change the order of any element's sum. Only the
  // cut of the inner dimension does, and it depends only on the k of the pieces.
  static TL_HD std::int64_t parts(std::int64_t whole, std::int64_t most) {
    return (whole + most - 1) / most;
  }
  static TL_HD std::int64_t cut(std::int64_t whole, std::int64_t part, std::int64_t count) {
    return whole * part / count;
  }
  static TL_HD std::int64_t smaller(std::int64_t a, std::int64_t b) { return a < b ? a : b; }

  // Whether a matrix of contiguous rows, `stride` apart, is read in place by this many rows of the
  // other matrix.
  static bool reads_in_place(std::int64_t rows, std::int64_t stride) {
    const bool aliased = stride * static_cast<std::int64_t>(sizeof(T)) % 4096 == 0;
    return parts(rows, Shape::rows) <= (aliased ? in_place_panels_aliased : in_place_panels);
  }
  bool reads_b_in_place() const {
    for (std::int64_t i = 0; i < piece_count; ++i) {
      const MatrixView<T>& b = pieces[i].b;
      if (b.column_stride != 1 || !reads_in_place(m, b.row_stride)) return false;
    }
    return true;
  }
  // The steps [cursor, cursor + depth) of B if they lie in one piece; else null.
  static const MatrixView<T>* whole_piece(PieceCursor<Isa, T>& cursor, std::int64_t depth) {
    while (cursor.offset == cursor.piece->k) cursor = {cursor.piece + 1, 0};
    return cursor.offset + depth <= cursor.piece->k ? &cursor.piece->b : nullptr;
  }

  // Rows [row_begin, row_end) and columns [column_begin, column_end) of C.
  void multiply_range(std::int64_t row_begin, std::int64_t row_end, std::int64_t column_begin,
                      std::int64_t column_end) const {
    const std::int64_t depth_step = (smaller(max_depth, k) + 15) / 16 * 16;
    const std::int64_t blocks = parts(row_end - row_begin, max_block_rows);
    // A multiple of the tile height, so that only the last block has lower row panels.
    const std::int64_t block_rows =
        parts(parts(row_end - row_begin, blocks), Shape::rows) * Shape::rows;
    const bool in_place = reads_b_in_place();
    const bool wide = in_place && m <= Shape::wide_rows;
    const std::int64_t panel_vectors = wide ? Shape::wide_vectors : Shape::vectors;
    const std::int64_t a_size = (block_rows * depth_step + 15) / 16 * 16;
    T* packed_a = static_cast<T*>(memory::scratch(
        kGemmPanels,
        static_cast<std::size_t>(a_size + panel_vectors * width * depth_step) * sizeof(T)));
    T* packed_b = packed_a + a_size;

    for (std::int64_t first_row = row_begin; first_row < row_end; first_row += block_rows) {
      const std::int64_t rows = smaller(block_rows, row_end - first_row);
      const std::int64_t row_panels = parts(rows, Shape::rows);
      PieceCursor<Isa, T> cursor{pieces, 0};
      DepthCutter<Isa, T> cutter{pieces, pieces + piece_count};
      for (std::int64_t step = 0, depth = 0; step < k; step += depth) {
        depth = cutter.next(max_depth);
        const MatrixView<T>* const b = in_place ? whole_piece(cursor, depth) : nullptr;
        pack_a(cursor, depth, first_row, rows, row_panels, packed_a);
        for (std::int64_t j = column_begin; j < column_end;) {
          const std::int64_t left = column_end - j;
          // Panels of nearly equal width: a narrow last panel would be slow.
          const std::int64_t vectors_left = parts(left, width);
          std::int64_t vectors = parts(vectors_left, parts(vectors_left, panel_vectors));
          if (vectors == Shape::wide_vectors - 1) --vectors;  // no tile has this width
          const std::int64_t lead = vectors * width;
          const std::int64_t columns = smaller(left, lead);
          const T* panel = packed_b;
          std::int64_t panel_stride = lead;
          if (b != nullptr && columns == lead) {
            panel = b->data + cursor.offset * b->row_stride + j;
            panel_stride = b->row_stride;
          } else {
            PanelB<Isa, T>::pack(cursor, depth, j, columns, lead, packed_b);
          }
          multiply_panel(depth, packed_a, rows, row_panels, panel, panel_stride, vectors, columns,
                         c + first_row * ldc + j, accumulate || step > 0);
          j += columns;
        }
        cursor.advance(depth, [](const GemmPiece<T>&, std::int64_t, std::int64_t, std::int64_t) {});
      }
    }
  }

  // Packs rows [first, first + rows) of A into row panels of nearly equal height, one after the
  // other. If a row panel is a narrow strip of contiguous memory, the loop takes a few steps of all
  // panels in turn: it then reads a cache line once, not once for each panel.
  static void pack_a(PieceCursor<Isa, T> cursor, std::int64_t depth, std::int64_t first,
                     std::int64_t rows, std::int64_t row_panels, T* packed) {
    cursor.advance(
        depth, [=](const GemmPiece<T>& piece, std::int64_t step, std::int64_t steps,
                   std::int64_t before) __attribute__((always_inline)) {
          const MatrixView<T>& a = piece.a;
          const std::int64_t turn = a.row_stride == 1 ? 8 : steps;
          for (std::int64_t s = 0; s < steps; s += turn) {
            const T* from = a.data + (step + s) * a.column_stride + first * a.row_stride;
            for (std::int64_t i = 0; i < row_panels; ++i) {
              const std::int64_t begin = cut(rows, i, row_panels);
              const std::int64_t height = cut(rows, i + 1, row_panels) - begin;
              Packer<Isa, T>::pack(from + begin * a.row_stride, a.column_stride, a.row_stride,
                                   smaller(turn, steps - s), height,
                                   packed + begin * depth + (before + s) * height, height);
            }
          }
        });
  }

  void multiply_panel(std::int64_t depth, const T* packed_a, std::int64_t rows,
                      std::int64_t row_panels, const T* panel, std::int64_t panel_stride,
                      std::int64_t vectors, std::int64_t columns, T* to, bool add) const {
    for (std::int64_t i = 0; i < row_panels; ++i) {
      const std::int64_t begin = cut(rows, i, row_panels);
      const std::int64_t height = cut(rows, i + 1, row_panels) - begin;
      const auto tile = TileTable<Isa, T>::find(height, vectors);
      tile(depth, packed_a + begin * depth, panel, panel_stride, to + begin * ldc, ldc, columns,
           add);
    }
  }

  // Few rows times the transpose of a row-major matrix: dot products read B in place.
  bool suits_dots() const {
    if (m > dot_rows) return false;
    for (std::int64_t i = 0; i < piece_count; ++i) {
      const GemmPiece<T>& piece = pieces[i];
      if (piece.k != 0 && (piece.k < width || piece.b.row_stride != 1)) return false;
    }
    return true;
  }

  // Computes columns [j, j + Columns) of a product, a few rows at a time while the columns are in
  // the cache.
  template <int Columns>
  void dot_columns(std::int64_t depth, const MatrixView<T>& view, const T* a, std::int64_t a_stride,
                   std::int64_t j, bool add) const {
    constexpr int most = Columns > 4 ? 1 : (Isa::registers == 32 ? 4 : 2);
    const std::int64_t stride = view.column_stride;
    const T* b = view.data + j * stride;
    const std::int64_t chunks = parts(m, most);
    for (std::int64_t i = 0; i < chunks; ++i) {
      const std::int64_t row = cut(m, i, chunks);
      const std::int64_t rows = cut(m, i + 1, chunks) - row;
      const T* from = a + row * a_stride;
      T* to = c + row * ldc + j;
      unroll<most>([&](auto r) __attribute__((always_inline)) {
        if (rows == r + 1) {
          Tile<Isa, T>::template dots<r + 1, Columns>(depth, from, a_stride, b, stride, to, ldc,
                                                      add);
        }
      });
    }
  }

  void dot_range(std::int64_t begin, std::int64_t end) const {
    bool add = accumulate;
    for (std::int64_t i = 0; i < piece_count; ++i) {
      const GemmPiece<T>& piece = pieces[i];
      if (piece.k == 0) continue;
      const T* a = piece.a.data;
      std::int64_t a_stride = piece.a.row_stride;
      if (piece.a.column_stride != 1) {
        T* copy = static_cast<T*>(
            memory::scratch(kGemmSmallSide, static_cast<std::size_t>(m * piece.k) * sizeof(T)));
        for (std::int64_t r = 0; r < m; ++r) {
          for (std::int64_t p = 0; p < piece.k; ++p) {
            copy[r * piece.k + p] = a[r * a_stride + p * piece.a.column_stride];
          }
        }
        a = copy;
        a_stride = piece.k;
      }
      const std::int64_t blocks = parts(piece.k, dot_depth);
      for (std::int64_t block = 0; block < blocks; ++block) {
        const std::int64_t step = cut(piece.k, block, blocks);
        const std::int64_t depth = cut(piece.k, block + 1, blocks) - step;
        const MatrixView<T> b{piece.b.data + step, 1, piece.b.column_stride};
        std::int64_t j = begin;
        for (; m == 1 && j + 8 <= end; j += 8) dot_columns<8>(depth, b, a + step, a_stride, j, add);
        for (; j + 4 <= end; j += 4) dot_columns<4>(depth, b, a + step, a_stride, j, add);
        for (; j < end; ++j) dot_columns<1>(depth, b, a + step, a_stride, j, add);
        add = true;
      }
    }
  }

  // True for the gradient of a weight with fewer inputs than outputs. In the transposed product the
  // larger matrix is read in place; else it would be packed, which takes as long as the product.
  bool suits_transposed() const {
    if (n <= few_columns) return true;
    if (n >= m || k < m) return false;
    for (std::int64_t i = 0; i < piece_count; ++i) {
      const MatrixView<T>& a = pieces[i].a;
      if (a.row_stride != 1 || !reads_in_place(n, a.column_stride)) return false;
    }
    return true;
  }

  // Computes the transpose: for a result with few columns, which then has few rows.
  void run_transposed() const {
    using Piece = GemmPiece<T>;
    const auto pieces_bytes =
        (static_cast<std::size_t>(piece_count) * sizeof(Piece) + 63) / 64 * 64;
    char* memory = static_cast<char*>(memory::scratch(
        kGemmTransposed, pieces_bytes + static_cast<std::size_t>(m * n) * sizeof(T)));
    Piece* swapped = reinterpret_cast<Piece*>(memory);
    T* result = reinterpret_cast<T*>(memory + pieces_bytes);
    for (std::int64_t i = 0; i < piece_count; ++i) {
      const MatrixView<T>& a = pieces[i].a;
      const MatrixView<T>& b = pieces[i].b;
      new (swapped + i) Piece{{b.data, b.column_stride, b.row_stride},
                              {a.data, a.column_stride, a.row_stride},
                              pieces[i].k};
    }
    for (std::int64_t i = 0; accumulate && i < m; ++i) {
      for (std::int64_t j = 0; j < n; ++j) result[j * m + i] = c[i * ldc + j];
    }
    Gemm{n, m, k, swapped, piece_count, result, m, accumulate}.run_upright();
    for (std::int64_t i = 0; i < m; ++i) {
      for (std::int64_t j = 0; j < n; ++j) c[i * ldc + j] = result[j * m + i];
    }
  }

  void run() const {
    if (suits_transposed()) return run_transposed();
    run_upright();
  }

  void run_upright() const {
    const bool dots = suits_dots();
    const bool by_columns = dots || n >= m;  // else the threads share the rows
    const double flops =
        2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
    const std::int64_t unit = by_columns ? (dots ? 8 : width) : Shape::rows;
    const std::int64_t whole = by_columns ? n : m;
    const std::int64_t units = parts(whole, unit);
    const auto threads = static_cast<std::int64_t>(flops < 1e15 ? flops / flops_per_thread : 1e9);
    const std::int64_t grain = threads < 2 ? units : parts(units, smaller(threads, units));
    parallel_for(units, grain, [&](std::int64_t first, std::int64_t last) {
      const std::int64_t begin = first * unit;
      const std::int64_t end = smaller(last * unit, whole);
      if (dots) {
        dot_range(begin, end);
      } else if (by_columns) {
        multiply_range(0, m, begin, end);
      } else {
        multiply_range(begin, end, 0, n);
      }
    });
  }
};

template <class Isa, class T>
void gemm(std::int64_t m, std::int64_t n, std::span<const GemmPiece<T>> pieces, T* c,
          std::int64_t ldc, bool accumulate) {
  if (m <= 0 || n <= 0) return;
  std::int64_t k = 0;
  for (const GemmPiece<T>& piece : pieces) k += piece.k;
  if (k == 0) {
    for (std::int64_t i = 0; i < m && !accumulate; ++i) {
      for (std::int64_t j = 0; j < n; ++j) c[i * ldc + j] = T{0};
    }
    return;
  }
  const GemmPiece<T>* first = pieces.data();
  auto count = static_cast<std::int64_t>(pieces.size());
  while (first->k == 0) ++first, --count;
  Gemm<Isa, T>{m, n, k, first, count, c, ldc, accumulate}.run();
}

}  // namespace tapeloop
