// SPDX-License-Identifier: MIT
// The page of images beside their captions, with a heat map for each word.
#pragma once

#include <string>
#include <vector>

#include "examples/caption/scenes.h"

namespace caption {

struct Captioned {
  std::int64_t scene = 0;
  Tokens found, wanted;
  tapeloop::Tensor weights;  // [words and END, side * side]; undefined without attention
};

// An SVG document.
std::string page_of(const Scenes& scenes, const std::vector<Captioned>& captioned,
                    std::int64_t side);

}  // namespace caption
