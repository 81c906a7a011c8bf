// SPDX-License-Identifier: MIT
// StepLayout: what one step of a recurrence calculates, as data. Every argument of a formula says
// where it comes from. The loops of all devices, the Stepper, the recorded pass and inspection read
// this table; nothing else knows the order of a formula's arguments.
//
// A step is a list of operations on values. A value is a row of numbers for each node (a node is
// one application of the step: one time step of one sequence), or for each edge of the nodes. Each
// operation makes new values:
//   product     y = [add] + [bias] + sum of w x    w [size of y, size of x], or, in G groups,
//                                                  [size of y, size of x / G]
//   layer norm  y = [add] + scale (x - mean) / sqrt(variance + epsilon) + bias, for each group
//   formula     y1, y2, ... = F(a, b, ...)         element by element, for each unit
//   spread      y[edge] = x[node of the edge]
//   edge sum    y[node] = [add] + sum or mean of x over the edges of the node
// The first three run on nodes or on edges: all of their values, except parameters, are of one
// kind. The last two lead from one kind to the other.
#pragma once

#include <cstdint>
#include <span>

#include "tapeloop/autograd/formula/kernel.h"
#include "tapeloop/autograd/tensor/memory.h"

namespace tapeloop {

struct StepLayout {
  // Where a value comes from. Those up to `extra` are given; an operation makes the others.
  enum class From : std::uint8_t {
    input,       // what the cell's input() made of x, for all nodes at once
    state,       // a part of the state of a predecessor
    edge_state,  // a part of the state at the other end of each edge
    unit,        // the same row for every node: a parameter such as a peephole weight
    extra,       // a row for each node without a gradient, such as a mask
    product,
    layer_norm,
    formula,
    spread,
    edge_sum
  };
  // A row of numbers for each node, or for each edge.
  struct Value {
    From from = From::input;  // where it comes from
    int index = 0;            // states: which part; unit, extra: which one; others: the operation
    int predecessor = 0;      // state: of which predecessor; edge_state: of which table of edges
    bool by_edge = false;     // a row for each edge
    std::int64_t size = -1;   // how many columns; -1: not known before resolve()
    // Columns of one argument of a formula: `size`, unless the value is several arguments wide.
    // Threads divide these columns among them, and do so for each argument.
    std::int64_t unit = -1;
    int part = -1;  // the part of the next state that this value is; -1: none
  };
  // Adjacent columns of a value.
  struct Columns {
    int value = -1;                            // -1: none
    std::int64_t first = 0;                    // the first column
    std::int64_t size = -1;                    // -1: all; resolve() replaces it
    bool given() const { return value >= 0; }  // whether there are any
  };
  // One product of a sum: the weight times x.
  struct Term {
    int weight;  // which one
    Columns x;   // what it is multiplied with
    // Of the columns of x, and of the rows of each block of as many rows of the weight: a row reads
    // the columns of its own group.
    int groups = 1;

    // Columns of a group.
    std::int64_t group_size() const { return x.size / groups; }
  };
  // One operation of the step. Fields of other kinds keep their defaults.
  struct Operation {
    From kind = From::formula;  // what it calculates
    int result = 0;             // the first value that it makes
    // product, layer norm and edge sum
    Columns add{};
    int bias = -1;  // product and layer norm: a value of From::unit; -1: none
    // product
    PoolVector<Term> terms{};
    // layer norm, spread and edge sum
    Columns x{};
    bool mean = false;  // edge sum: divided by the number of edges
    // layer norm
    int scale = -1;      // a value of From::unit; -1: none
    int groups = 1;      // of columns, each normalised by itself
    double epsilon = 0;  // added to the variance
    // formula
    const PointwiseKernel* kernel = nullptr;
    detail::FormulaBytes formula{};
    std::int64_t units = -1;          // columns of each argument
    PoolVector<Columns> arguments{};  // in the order of the formula; may be several units wide
  };

  PoolVector<Value> values;          // given ones and made ones
  PoolVector<Operation> operations;  // in the order in which they run
  PoolVector<int> next;              // the value that is each part of the next state

  // K, the parts of the state.
  int parts() const { return static_cast<int>(next.size()); }
  // One more than the largest predecessor.
  int predecessors() const;
  // One more than the largest table of edges; 0: the step has no edges.
  int edge_tables() const;
  // True if the value is a sum over edges to which nothing is added: 0 for a node without edges.
  bool sums_edges_alone(int value) const;
  // The value of a part of a predecessor's state; -1: the step does not read it.
  int state_value(int part, int predecessor) const;
};

// Fills in all sizes and checks them. Throws Error, as "recurrent", if sizes do not fit; the
// message names the formula and its argument. `weights`, `units` and `extras`: shapes of the
// tensors.
//   input_size: columns of the input        state_sizes: of each part of the state
void resolve(StepLayout& layout, std::int64_t input_size, std::span<const std::int64_t> state_sizes,
             std::span<const Shape> weights, std::span<const Shape> units,
             std::span<const Shape> extras);

// Name of an argument or a result of a formula for messages: "f", or "argument 2".
std::string argument_name(const PointwiseKernel& kernel, int i);

}  // namespace tapeloop
