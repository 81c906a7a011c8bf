// SPDX-License-Identifier: MIT
// The tasks on which cells are compared, and the small model around the cell. They know no cell.
//   T time steps, N batch, I features or symbols of the input, H hidden size.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "examples/common/cells/cells.h"
#include "tapeloop/nn/layers/layers.h"

namespace cells {

// Layers of a cell, and a linear map of their outputs.
struct Model {
  common::Recurrent layers;
  tapeloop::nn::Linear head;
  void visit(tapeloop::nn::Visitor& v) const {
    layers.visit(v);
    v("head", head);
  }
};

struct TaskFacts {
  std::string name;          // "adding"
  std::string title;         // for the picture
  std::string unit;          // of the loss
  std::int64_t steps = 0;    // T
  std::int64_t inputs = 0;   // I
  std::int64_t outputs = 0;  // of the head
  double guess = 0;          // the loss of the best constant answer; 0: unknown
};

class Task {
 public:
  virtual ~Task() = default;
  virtual const TaskFacts& facts() const = 0;
  // The samples of an update. They depend only on the seed and the number of the update.
  virtual void draw(std::uint64_t seed, std::int64_t update) = 0;
  virtual tapeloop::Var loss(const Model& model) const = 0;  // of these samples
  virtual double test(const Model& model) const = 0;         // the loss of unseen samples
};

struct TaskSettings {
  std::int64_t length = 50;  // of the adding problem and of copy memory, about
  std::int64_t batch = 32;   // N
  std::string data = {};     // folder with MNIST's files; empty: none
  std::string text = {};     // file of the character model; empty: built-in names of dinosaurs
};

std::vector<std::string> task_names();  // adding, copy, digits, characters
// nullptr if its data are absent: digits without TaskSettings::data.
std::unique_ptr<Task> make_task(const std::string& name, const TaskSettings& settings);

}  // namespace cells
