// SPDX-License-Identifier: MIT
// Networks that label the regions of images.
#pragma once

#include <string>
#include <vector>

#include "examples/regions/scenes.h"
#include "tapeloop/nn/layers/layers.h"
#include "tapeloop/nn/structures/graph.h"
#include "tapeloop/nn/structures/md_lstm.h"

namespace regions {

struct ModelSettings {
  std::string net = "graph";         // or "regions": each by itself; "md_lstm": on blocks of pixels
  std::string order = "confidence";  // of "graph"; or "breadth_first", "random"
  std::int64_t hidden = 24;
  std::int64_t layers = 2;
};

// Pixels -> features of pixels -> their means in regions -> a Graph LSTM -> logits of the labels.
// Liang et al. 2016, arXiv:1603.07063. A second head labels single pixels: its confidence gives the
// order.
class RegionModel {
 public:
  RegionModel(const ModelSettings& settings, std::int64_t labels, tapeloop::Random& random);

  struct Answer {
    tapeloop::Var regions;            // logits [V, labels]; of "md_lstm" [pixels, labels]
    tapeloop::Var pixels;             // of the second head, [pixels, labels]
    std::vector<std::int64_t> order;  // in which the regions were visited; empty: at once
  };
  Answer operator()(const Batch& batch) const;
  // Mean cross-entropy of pixels by their regions, plus that of the second head.
  tapeloop::Var loss(const Answer& answer, const Batch& batch) const;
  // The label of each pixel, [scenes, height, width].
  std::vector<std::int64_t> labels_of(const Answer& answer, const Batch& batch) const;
  void visit(tapeloop::nn::Visitor& v) const;
  mutable tapeloop::Random samples;  // draws the scenes of updates

 private:
  std::vector<std::int64_t> order_of(const Batch& batch, const tapeloop::Var& of_pixels) const;
  ModelSettings settings_;
  tapeloop::nn::Linear pixel_, confidence_, alone_, head_;
  tapeloop::nn::GraphLstm graph_;
  tapeloop::nn::MdLstm grid_;
};

}  // namespace regions
