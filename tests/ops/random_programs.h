// SPDX-License-Identifier: MIT
// Random programs: small graphs over the operations of ops.h and losses.h, each made from a seed.
// Both the library and plain loops in double evaluate a program; they share no code.
// random_ops*.cpp have a row for each operation.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "tests/ops/op_cases.h"

namespace tapeloop::test {

// One value of a program: an input, or the result of an operation on earlier values.
struct Step {
  int op = -1;                          // row of random_ops(); -1: an input
  std::vector<int> args = {};           // numbers of earlier values
  std::vector<std::int64_t> ints = {};  // axes, sizes, indices
  std::vector<double> reals = {};
};

// loss = the sum over outputs of sum(weight * output), and over inputs of sum(0.25 * input^2).
struct Program {
  std::uint64_t seed = 0;
  std::vector<Step> steps;
  std::vector<Array> values;  // of all steps, from the loops; those of inputs are given
  std::vector<int> outputs;   // all values that no other step uses
  std::vector<Array> weights;

  std::vector<int> inputs() const;
  std::string code() const;  // as C++, to read and to repeat a failure
  std::string json() const;  // for other evaluators
};

struct ProgramSize {
  int steps = 9;
  std::vector<std::int64_t> sizes = {1, 2, 3, 5, 7};  // of axes
  std::int64_t numel = 150;                           // most elements of a value
};

inline const ProgramSize kLonger{.steps = 25, .sizes = {1, 2, 3, 5, 7, 17}, .numel = 400};
// Sizes of tensors that are large enough for two threads.
inline const ProgramSize kLarge{.steps = 6, .sizes = {1, 3, 33, 65, 129}, .numel = 40000};

// Gives the same program for the same seed and size, on every machine.
Program random_program(std::uint64_t seed, const ProgramSize& size = {});
// The steps that one output depends on: a smaller program that may fail in the same way.
Program part(const Program& program, std::size_t output);

// --- by loops ---

std::vector<Array> input_values(const Program& program);
// Calculates the values of all steps from the values of the inputs, in their order.
std::vector<Array> evaluate_by_loops(const Program& program, std::span<const Array> inputs);
double loss_by_loops(const Program& program, std::span<const Array> inputs);

// --- by the library ---

std::vector<Var> variables(std::span<const Array> values, DType dtype = DType::float64);
enum class How {
  stored,
  recomputed,
  parameters_recomputed
};  // with the inputs as recompute()'s, or not
struct Results {
  std::vector<Tensor> values;     // of the outputs
  std::vector<Tensor> gradients;  // of the loss, for each input
  std::vector<Tensor>
      second;  // d(sum of gradient * direction)/d(input), where there is a direction
};
Results run(const Program& program, std::span<const Var> inputs, How how,
            const std::vector<Array>* direction);
// Returns one array for each input, with magnitudes from 0.5 to 1.
std::vector<Array> directions(const Program& program, std::uint64_t seed);
bool same(const std::vector<Tensor>& a, const std::vector<Tensor>& b);  // to the bit
bool same(const Results& a, const Results& b);

// --- for the rows of random_ops() ---

// Draws the next step. A row of random_ops() asks it for arguments.
class Draw {
 public:
  Draw(Program& program, const ProgramSize& size) : program_(program), size_(size) {}
  std::uint64_t next();                     // 64 random bits
  std::int64_t below(std::int64_t bound);   // 0 to bound - 1
  double uniform(double low, double high);  // 53 random bits
  bool chance(double probability) { return uniform(0, 1) < probability; }
  std::int64_t size() {
    return size_
        .sizes[static_cast<std::size_t>(below(static_cast<std::int64_t>(size_.sizes.size())))];
  }
  int axis(const Shape& shape) { return static_cast<int>(below(shape.rank())); }

  const Array& array(int value) const { return program_.values[static_cast<std::size_t>(value)]; }
  const Shape& shape(int value) const { return array(value).shape; }
  // A new input.
  int input(const Shape& shape, double low = -1.5, double high = 1.5);
  Shape any_shape(int least_rank, int most_rank);
  // Returns a value that fits, newer ones more often; -1 if a few tries find none.
  int find(const std::function<bool(const Array&)>& fits);
  // The same, but returns a new input if none is found.
  int value(const std::function<bool(const Array&)>& fits, int least_rank = 0, double low = -1.5,
            double high = 1.5);
  int value(int least_rank = 0);
  // A value whose shape broadcasts with that of `value`.
  int partner(int value, double low = -1.5, double high = 1.5);

 private:
  Program& program_;
  const ProgramSize& size_;
};

struct RandomOp {
  const char* name;
  // $0: the first argument, #0: the first integer, %0: the first number, #*: all integers.
  const char* code;
  std::function<bool(Draw&, Step&)> draw;  // fills in the step; false where nothing fits
  std::function<Var(Inputs, const Step&)> run;
  std::function<Array(Arrays, const Step&)> loops;
};
std::span<const RandomOp> random_ops();

// Parts of random_ops().
std::vector<RandomOp> pointwise_rows();
std::vector<RandomOp> shape_rows();
std::vector<RandomOp> reduction_rows();
std::vector<RandomOp> product_rows();  // also of recurrences, indices and losses

// All elements lie between, and no nearer to a kink than what finite differences need.
bool within(const Array& x, double low, double high, std::initializer_list<double> kinks = {});
inline constexpr double kKinkDistance = 0.02;

}  // namespace tapeloop::test
