// SPDX-License-Identifier: MIT
// Parts of pictures that show values as colours: the frame of the SVG, the colour of a value, the
// legend.
#pragma once

#include <string>

namespace tapeloop::nn {

// The beginning of an SVG of this size: white, with a title at the top. "</svg>" ends it.
std::string svg_head(const std::string& title, double width, double height);

// Orange above 0, blue below, white at 0 and for NaN; full colour at `scale`. "#d55e00".
std::string value_colour(double value, double scale);

// The colours from -scale to scale below the title; they begin at x = left. Then a text.
std::string svg_legend(double left, double scale, const std::string& text);

}  // namespace tapeloop::nn
