// SPDX-License-Identifier: MIT
// Text in SVG and HTML: escaping, and bytes that are no UTF-8. Private to the pages that are drawn.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tapeloop::nn {

// & < > and quotes as entities; control characters and what is no UTF-8 as U+FFFD.
std::string escape_markup(std::string_view text);

// The length of the UTF-8 character that text begins with; 0 where it begins with none (a stray or cut-off byte, an
// overlong form, a surrogate).
std::size_t utf8_length(std::string_view text);

}  // namespace tapeloop::nn
