// SPDX-License-Identifier: MIT
// A picture of how a gradient vanishes or explodes on its way back through time: |dL/dh_t| on a logarithmic scale, as SVG.
// Makes no gradients: Tape::state_gradients() does.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace tapeloop::nn {

struct GradientCurve {
  std::string name;           // "LSTM"; curves of one name have one colour on the whole page
  std::string layer;          // "l0", beside the name where there are several; the line's pattern
  std::vector<double> norms;  // [T] by time; the gradient enters at the last step
};
struct GradientPanel {
  std::string title;  // "at initialisation"
  std::vector<GradientCurve> curves;
};

// One page: a panel beside the other, all with the same axes. Each curve is drawn relative to its own last step, so that 1 is
// where it starts; what comes out far below has vanished, far above exploded. Steps with 0 stand on the lower edge, those
// that are not finite on the upper one. Below, a table says by how much each curve changes in a step, on average.
// Throws where there is no panel, no curve, a curve has fewer than 2 steps, or a page would have more than 8 panels.
std::string gradient_picture(const std::string& title, std::span<const GradientPanel> panels);

// |dL/dh_0| / |dL/dh_last| per step: the factor by which the gradient changes from one step to the one before; 0 where it
// died on the way, infinity or NaN where it was not finite.
double factor_per_step(std::span<const double> norms);

}  // namespace tapeloop::nn
