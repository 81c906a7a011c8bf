// SPDX-License-Identifier: MIT
// Schedule: the order of a recurrence as data. It says which nodes run together, and where the
// predecessors of each node are. A node is one application of a cell's step: a time step of one
// sequence, a cell of a grid, a node of a tree or graph. A Schedule knows no values and no cell.
//   T time steps, N batch, D dimensions of a grid, S_d its sizes, V nodes of trees or graphs,
//   K children of a node.
//
// Nodes that run together are a *level*. The nodes of a level have consecutive numbers, and so have
// the rows of their inputs and outputs: node i is row i. order() maps these numbers to the user's.
//
// States have rows of their own: one row for each node and one for each *external* state. External
// states exist before the first level: the initial state of a sequence, the side of a grid, the
// state of a node in the layer before. The state rows of a level are consecutive, too. Rows of
// external states may lie anywhere between them.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>

#include "tapeloop/autograd/tensor/memory.h"
#include "tapeloop/autograd/tensor/shape.h"
#include "tapeloop/autograd/tensor/tensor.h"

namespace tapeloop {

namespace detail {
class ScheduleBuilder;  // builder.h

// The tables of a Schedule on another device, kept with the Schedule after their first use there:
// device/schedule_tables.h.
struct KeptTables {
  std::mutex mutex;
  Tensor all;  // undefined: not used there yet

  KeptTables() = default;
  KeptTables(KeptTables&&) noexcept {}  // a Schedule that is being built has none
};
}  // namespace detail

// The order of Schedule::sequences().
struct SequenceOrder {
  bool reverse = false;  // from the last time step of each sequence to its first
  // [N], each 0..T: the number of time steps of each sequence. Empty: all have T.
  std::span<const std::int64_t> lengths = {};
  // [T, N], row-major. A flag that is not 0: at this step the sequence starts again from its
  // initial state. Times are those of the input, also with `reverse`. A flag after the end of a
  // sequence has no effect. Empty: no sequence starts again.
  std::span<const std::uint8_t> resets = {};
};

// The order of Schedule::grid().
struct GridOrder {
  // Bit d: dimension d runs from its last cell to its first. 0 to 2^D - 1.
  unsigned directions = 0;
  // [N, D], row-major, each 0..S_d: the size of each sample, whose cells are 0 .. size - 1 in each
  // dimension. Empty: all samples fill the grid.
  std::span<const std::int64_t> sample_sizes = {};
};

// The neighbours of a graph's nodes, one list after the other. Those of node v have the places
// begins[v] .. begins[v + 1] - 1 in `neighbours`.
struct NeighbourLists {
  std::span<const std::int64_t> begins;      // [V + 1], the first is 0
  std::span<const std::int64_t> neighbours;  // their numbers
};

// A handle: copies share the tables, which never change. Cost of a copy: one counted reference.
class Schedule {
 public:
  Schedule() = default;  // no nodes, no levels

  // A list of rows: a range, or a table. It is a range whenever its rows are consecutive. A pointer
  // is valid as long as a copy of the Schedule lives.
  struct Rows {
    std::int64_t begin = 0;              // the first row of a range
    const std::int64_t* rows = nullptr;  // a table; null: a range
    std::int64_t count = 0;              // how many rows the list has
    bool zeros = false;                  // of a slot: all rows are external states of zeros
    // Row i of the list.
    std::int64_t operator[](std::int64_t i) const { return rows != nullptr ? rows[i] : begin + i; }
    std::int64_t size() const { return count; }        // the same as `count`
    bool empty() const { return count == 0; }          // whether there are no rows
    bool is_range() const { return rows == nullptr; }  // whether row i is begin + i
  };
  // Nodes first .. first + count - 1 run together. Node first + i writes state row state + i.
  struct Level {
    std::int64_t first;  // the first node
    std::int64_t count;  // how many nodes there are, at least 1
    std::int64_t state;  // the state row of the first node
  };
  // The edges of a level. Edges are numbered in the order of their nodes.
  struct Edges {
    std::int64_t first;  // the first edge
    std::int64_t count;  // how many edges there are; may be 0
    // [nodes of the level + 1]: node i of the level has the edges begins[i] .. begins[i + 1] - 1.
    const std::int64_t* begins;
  };

  std::int64_t nodes() const { return nodes_; }            // of all levels
  std::int64_t state_rows() const { return state_rows_; }  // nodes and external states
  std::int64_t levels() const { return levels_; }          // how many there are
  // Level l, from 0 to levels() - 1. Every node is in one level. From level to level the numbers of
  // nodes and states ascend; in reverse sequences they descend.
  Level level(std::int64_t l) const {
    if (tables_ != nullptr) return tables_->levels[static_cast<std::size_t>(l)];
    return {time(l) * batch_, batch_, state_place(l) * batch_};
  }

  // Predecessors of nodes that all have the same number of them: node first + i of level l reads
  // state row slot(l, p)[i] as its predecessor p.
  int slots() const { return slots_; }  // how many predecessors each node has
  Rows slot(std::int64_t l, int p) const {
    if (tables_ != nullptr)
      return rows_of(tables_->slots[static_cast<std::size_t>(l * slots_ + p)]);
    return {state_place(l - 1) * batch_, nullptr, batch_};
  }

  // Predecessors of nodes that have different numbers of them: edge e of a node reads state row
  // edge_rows(k)[e] in table k. Structures without edge tables have no edges() and no edge_rows().
  int edge_tables() const { return edge_tables_; }
  bool has_edges() const { return edge_tables_ > 0; }  // whether the structure has edge tables
  std::int64_t edges() const { return edges_; }        // of all nodes
  Edges edges(std::int64_t l) const {                  // of level l
    const Level nodes = level(l);
    const std::int64_t* const begins = tables_->edge_begins.data() + nodes.first;
    return {begins[0], begins[nodes.count] - begins[0], begins};
  }
  const std::int64_t* edge_rows(int table) const {  // [edges()], for table 0 to edge_tables() - 1
    return tables_->edge_rows.data() + table * edges_;
  }

  // [nodes()]: the user's number of each node, a row of the user's inputs and outputs. Empty: node
  // i has number i. Some of the input_rows() rows may have no node, such as the steps after the end
  // of a sequence.
  std::span<const std::int64_t> order() const {
    if (tables_ == nullptr) return {};
    return {tables_->order.data(), tables_->order.size()};
  }
  std::int64_t input_rows() const { return input_rows_; }  // of the user's inputs and outputs
  // The inverse of order(), [input_rows()]: the node of each of the user's rows, -1 if it has none.
  // Empty: row i is node i.
  std::span<const std::int64_t> node_of_row() const {
    if (tables_ == nullptr) return {};
    return {tables_->node_of_row.data(), tables_->node_of_row.size()};
  }

  // The external states: external state i is in state row external_rows()[i]. It is row
  // external_from()[i] of the initial states that the user gives, or zeros if that is -1. A list
  // with -1 is always a table.
  Rows external_rows() const {
    if (tables_ != nullptr) return rows_of(tables_->external_rows);
    return {state_place(-1) * batch_, nullptr, batch_};
  }
  Rows external_from() const {
    if (tables_ != nullptr) return rows_of(tables_->external_from);
    return {0, nullptr, batch_};
  }
  std::int64_t initial_rows() const { return initial_rows_; }  // of the user's initial states
  // N, if the user's row t N + n is step t of sequence n, for all rows; else 0.
  std::int64_t batch() const { return batch_; }

  // Sequences: [N], the state row after the last step of each sequence; if its length is 0, the row
  // of its initial state. Empty for other structures.
  Rows finals() const {
    if (tables_ != nullptr) return rows_of(tables_->finals);
    return {state_place(levels_ - 1) * batch_, nullptr, batch_};
  }

  // All tables. A pointer or list that the functions above return, and that is no range, is in one
  // of them. None of a chain.
  std::array<std::span<const std::int64_t>, 5> tables() const {
    if (tables_ == nullptr) return {};
    const Tables& t = *tables_;
    return {t.rows, t.order, t.node_of_row, t.edge_begins, t.edge_rows};
  }
  // Ends with the last copy of the Schedule; null for a chain.
  std::shared_ptr<detail::KeptTables> kept_tables() const {
    if (tables_ == nullptr) return nullptr;
    return {tables_, &tables_->kept};
  }

  // True for sequences of equal length without resets, and for Schedule(). Level l reads exactly
  // the states of level l - 1, and level 0 the external ones. All lists are ranges, and the
  // Schedule has no memory of its own.
  bool is_chain() const { return tables_ == nullptr; }

  // N sequences of T time steps. The user's number of a node is t N + n. Initial states: N rows, in
  // the order of the batch. One slot: the state before the step.
  // Level s has step s of each sequence that has one. It is time s, or length - 1 - s if `reverse`.
  // Within a level, longer sequences stand first, and equal ones in the order of the batch; so a
  // level reads a range, the first rows of the level before. A level with resets has a table.
  // Without lengths order() is empty. Throws if T or N is less than 1, if `lengths` or `resets` has
  // another size, or if a length is outside 0..T.
  // Cost: linear in T and N, plus the number of nodes if there are lengths, plus T N if there are
  // resets; nothing for a chain.
  static Schedule sequences(std::int64_t T, std::int64_t N, const SequenceOrder& order = {});

  // N samples of a grid of 1 to 5 dimensions, sizes [S_0, S_1, ..]. Cell p of sample n has the
  // user's number ((p_0 S_1 + p_1) S_2 + ..) N + n. Slot d: the neighbour one cell before p along
  // dimension d, or one cell after p if bit d of `directions` is set. Outside of the grid, or of
  // the sample's own part of it, neighbours are external states. The initial states are the sides
  // of the grid: first side 0, then side 1, .. Side d has a row for each line of cells along
  // dimension d: row-major in the other coordinates, then by n.
  // Level s has the cells at distance s from the corner in which the directions start; each sample
  // has its own corner. In two dimensions all slots are ranges if all samples fill the grid. A
  // grid of one dimension has the schedule of sequences(S_0, N). Throws if a size or N is less than
  // 1, if there are more than 5 dimensions, or if `directions` or a sample's size does not fit.
  // Cost: linear in the number of nodes and external states, and in N.
  static Schedule grid(const Shape& sizes, std::int64_t N, const GridOrder& order = {});

  // Trees whose nodes have any number of children; any number of trees. parents: [V], the parent of
  // each node, or -1 for a root. Edges: one for each child, in the order of the children's numbers;
  // table 0: the child's state. No slots, no external states.
  // Level s has the nodes of height s, leaves first, in the order of their numbers. V may be 0.
  // Throws if a parent is outside -1..V - 1, or if a node is its own ancestor.
  // Cost: linear in V.
  static Schedule trees_by_parent(std::span<const std::int64_t> parents);

  // Trees whose nodes have up to K children, each in a place of its own; any number of trees.
  // children: [V, K], row-major: child k of each node, or -1 if it has none there. Slot k: the
  // state of child k. All missing children are one external state, of zeros.
  // Levels as above. Throws if K is less than 1, if a child is outside -1..V - 1, if a node has two
  // parents, or if it is its own ancestor.
  // Cost: linear in V K.
  static Schedule trees_by_children(std::span<const std::int64_t> children, int K);

  // A graph whose nodes run in a given order, a layer of a Graph LSTM. order: [V], the nodes in
  // this order; empty: in the order of their numbers. The initial states are the states of the
  // layer before: row v for node v. Slot 0: the node's own state of the layer before. Edges: one
  // for each neighbour, in the order of its list. Table 0: the neighbour's new state if it comes
  // earlier in `order`, else its state of the layer before. Table 1: its state of the layer before.
  // Neighbours need not be mutual. A neighbour that is listed twice has two edges. A node may have
  // no neighbours; V may be 0.
  // The level of a node is the length of the longest chain of earlier neighbours before it. Within
  // a level nodes stand as in `order`. Throws if `begins` does not fit, if a neighbour is outside
  // 0..V - 1 or the node itself, or if `order` does not have each node once.
  // Cost: linear in nodes and neighbours.
  static Schedule graph(const NeighbourLists& lists, std::span<const std::int64_t> order = {});
  // The same for V nodes with undirected edges: the two nodes of an edge are neighbours of each
  // other, in the order of `edges`.
  static Schedule graph(std::int64_t V, std::span<const std::array<std::int64_t, 2>> edges,
                        std::span<const std::int64_t> order = {});

  // The union, so that many trees, graphs or batches run as one: level l has the nodes of level l
  // of each schedule, one schedule after the other. The user's inputs, outputs, initial states and
  // finals() are those of the schedules, one after the other. All external states of zeros become
  // one state. The union of trees or of graphs is the schedule of all of them in one call.
  // Throws if there is no schedule, or if their numbers of slots or of edge tables differ.
  // Cost: linear in nodes, external states, edges and schedules; nothing for one schedule.
  static Schedule join(std::span<const Schedule> schedules);

 private:
  friend class detail::ScheduleBuilder;
  struct List {  // a Rows within `rows` of Tables
    std::int64_t begin = 0, count = 0;
    std::int64_t table = -1;  // where its table begins; -1: it is a range
    bool zeros = false;
  };
  struct Tables {
    PoolVector<Level> levels;
    PoolVector<List> slots;         // [levels, slots]
    PoolVector<std::int64_t> rows;  // all lists that are no ranges
    PoolVector<std::int64_t> order;
    List external_rows, external_from, finals;
    PoolVector<std::int64_t> edge_begins;  // [nodes + 1]
    PoolVector<std::int64_t> edge_rows;    // [edge tables, edges]
    PoolVector<std::int64_t> node_of_row;
    mutable detail::KeptTables kept;
  };
  Rows rows_of(const List& list) const {
    return {list.begin, list.table < 0 ? nullptr : tables_->rows.data() + list.table, list.count,
            list.zeros};
  }
  // Of a chain: the time of level l, and the place of its states among all states. Level -1 means
  // the external states. They stand before the others, or behind them if `reverse_`.
  std::int64_t time(std::int64_t l) const { return reverse_ ? levels_ - 1 - l : l; }
  std::int64_t state_place(std::int64_t l) const { return reverse_ ? time(l) : l + 1; }

  std::int64_t nodes_ = 0, state_rows_ = 0, levels_ = 0, edges_ = 0;
  std::int64_t input_rows_ = 0, initial_rows_ = 0;
  int slots_ = 0, edge_tables_ = 0;
  bool reverse_ = false;                  // of a chain
  std::int64_t batch_ = 0;                // of one batch of sequences: N
  std::shared_ptr<const Tables> tables_;  // null: a chain
};

}  // namespace tapeloop
