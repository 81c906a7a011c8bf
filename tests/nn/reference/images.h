// SPDX-License-Identifier: MIT
// Convolution and pooling in tests/reference, and models that begin with them.
#pragma once

#include "tapeloop/autograd/ops/convolution.h"
#include "tapeloop/autograd/ops/pooling.h"
#include "tapeloop/autograd/schedule/lengths.h"
#include "tests/nn/reference/cells.h"
#include "tests/nn/reference/layers.h"
#include "tests/nn/reference/models.h"

namespace reference {

// A setting of two axes: one number for both, or a list.
inline std::array<std::int64_t, 2> pair_of(const Case& c, const std::string& key,
                                           std::int64_t otherwise) {
  const std::vector<std::int64_t> list = c.integers_of(key);
  if (list.size() == 2) return {list[0], list[1]};
  const std::int64_t both = list.size() == 1 ? list[0] : c.integer(key, otherwise);
  return {both, both};
}

inline ConvolutionOptions convolution_options(Case& c) {
  return {.stride = pair_of(c, "stride", 1),
          .padding = pair_of(c, "padding", 0),
          .dilation = pair_of(c, "dilation", 1),
          .groups = c.integer("groups", 1),
          .mode = choice<Padding>(c, "padding_mode", "zeros",
                                  {{"zeros", Padding::zeros},
                                   {"reflect", Padding::reflect},
                                   {"replicate", Padding::replicate}})};
}

inline Outputs convolution(Case& c) {
  const Var x = c.var("input.x"), w = c.var("param.weight"), bias = c.var_if("param.bias");
  const ConvolutionOptions options = convolution_options(c);
  return {{"y", x.rank() == 3 ? conv1d(x, w, bias, options) : conv2d(x, w, bias, options)}};
}

inline Outputs pooling(Case& c) {
  const Var x = c.var("input.x");
  const PoolingOptions options{.kernel = pair_of(c, "kernel", 2),
                               .stride = pair_of(c, "stride", 0),
                               .padding = pair_of(c, "padding", 0)};
  const bool line = x.rank() == 3;
  if (c.kind().starts_with("max")) {
    return {{"y", line ? max_pool1d(x, options) : max_pool2d(x, options)}};
  }
  return {{"y", line ? avg_pool1d(x, options) : avg_pool2d(x, options)}};
}

// A convolution that keeps the size, batch norm, and the largest of each 2 x 2 pixels.
inline Outputs conv_bn_pool(Case& c) {
  const Var w = c.var("param.conv.weight");
  const Var y = conv2d(c.var("input.x"), w, c.var_if("param.conv.bias"),
                       {.padding = {w.dim(2) / 2, w.dim(3) / 2}});
  const nn::BatchNorm norm = batch_norm_of(c, "bn.", w.dim(0));
  Outputs result{{"y", max_pool2d(norm(y))}};
  add_running(c, norm, result);
  return result;
}

inline Outputs conv_lstm(Case& c) {
  const Var x = c.var("input.x");  // [T, N, C, h, w]
  const std::vector<std::int64_t> image = c.integers_of("image");
  const std::int64_t positions = image.at(0) * image.at(1);
  nn::RecurrentOptions options = sizes_of(c);
  options.input *= positions, options.hidden *= positions;
  const nn::ConvLstm& layer = c.module<nn::ConvLstm>("", [&](Random& random) {
    return nn::ConvLstm(options, random,
                        {.image = {image[0], image[1]},
                         .kernel = pair_of(c, "kernel", 3),
                         .peephole = c.flag("peephole")});
  });
  const auto rows = [&](const Var& images) {  // [.., N, C, h, w] -> [.., N, C h w]
    return images.defined() ? reshape(images, {images.dim(0), images.dim(1), -1}) : images;
  };
  nn::ConvLstm::State start;
  start[0] = rows(c.var_if("input.h0")), start[1] = rows(c.var_if("input.c0"));
  const auto [ys, last] = layer(rows(x), start);
  const auto images = [&](const Var& from) {
    return reshape(from, {from.dim(0), from.dim(1), -1, image[0], image[1]});
  };
  return {{"y", images(ys)}, {"hn", images(last[0])}, {"cn", images(last[1])}};
}

// Frames [T, N, 1, h, w]: a convolution, relu, the mean over positions, a recurrent stack with
// lengths. A label for each frame, and one for each clip: the mean probability of its frames.
inline Outputs video(Case& c) {
  const Var frames = c.var("input.frames");
  const std::int64_t steps = frames.dim(0), clips = frames.dim(1);
  const std::vector<std::int64_t> lengths = c.integers("input.lengths");
  const Var w = c.var("param.conv.weight");
  const Var images = conv2d(reshape(frames, {steps * clips, frames.dim(2), frames.dim(3), -1}), w,
                            c.var_if("param.conv.bias"), convolution_options(c));
  const Var features = mean(relu(images), {2, 3});
  const Var logits =
      head(c, run_stack(c, stack_of(c), reshape(features, {steps, clips, w.dim(0)})));
  const Tensor mask =
      tapeloop::detail::mask_within(lengths, steps, c.dtype(), c.device()).insert_axis(2);
  const Tensor count = Tensor::from({clips, 1}, lengths).to(c.dtype()).to(c.device());
  const Var probability = sum(softmax(logits, -1) * Var(mask), {0}) / Var(count);
  Tensor target = c.tensor("input.frame_target").clone();  // frames past the ends have none
  for (std::int64_t n = 0; n < clips; ++n) {
    target.select(1, n).slice(0, lengths[static_cast<std::size_t>(n)], steps).fill(-100);
  }
  const Var chosen = gather(probability, c.tensor("input.clip_target").insert_axis(1), 1);
  return {{"frame_logits", logits},
          {"clip_probability", probability},
          {"loss", cross_entropy(logits, target) - mean(log(chosen))}};
}

}  // namespace reference
