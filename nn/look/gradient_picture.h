// SPDX-License-Identifier: MIT
// A picture of a gradient that vanishes or explodes on the way back through time: |dL/dh_t| on a
// logarithmic scale, as SVG. The gradients come from Tape::state_gradients().
#pragma once

#include <span>
#include <string>
#include <vector>

namespace tapeloop::nn {

// The gradient of one layer at each time step.
struct GradientCurve {
  std::string name;   // "LSTM"; curves with the same name have the same colour on the whole page
  std::string layer;  // "l0", shown after the name if there are several; selects the line pattern
  std::vector<double> norms;  // [T], in order of time; the loss is at the last step
};
// Curves in one pair of axes.
struct GradientPanel {
  std::string title;                  // "at initialisation"
  std::vector<GradientCurve> curves;  // one for each model and layer
};

// One page with the panels side by side, all with the same axes. Each curve is relative to its own
// last step, so it starts at 1; far below 1 the gradient has vanished, far above it has exploded.
// Steps with 0 are drawn at the lower edge, NaN and infinity at the upper one. A table below has
// the average factor per step of each curve. Throws if there is no panel or more than 8, if a panel
// has no curve, or if a curve has fewer than 2 steps or gradient 0 at the last step.
std::string gradient_picture(const std::string& title, std::span<const GradientPanel> panels);

// (|dL/dh_0| / |dL/dh_last|)^(1 / steps): the average factor from one step to the step before. 0 if
// the gradient at step 0 is 0, infinity or NaN if it is not finite.
double factor_per_step(std::span<const double> norms);

}  // namespace tapeloop::nn
