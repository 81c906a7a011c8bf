// SPDX-License-Identifier: MIT
// The names of scopes, and the place in the calculation as text.
#include "tapeloop/autograd/context/scope.h"

#include <algorithm>

namespace tapeloop {

Scope::Scope(std::string_view name)
    : outer_(std::exchange(detail::thread_context.scope, static_cast<const Scope*>(this))) {
  name = name.substr(0, name_.size() - 1);
  std::copy(name.begin(), name.end(), name_.begin());
}

std::string Scope::path() {
  std::string result;
  for (const Scope* scope = detail::thread_context.scope; scope != nullptr; scope = scope->outer_) {
    if (!result.empty()) result.insert(0, "/");
    result.insert(0, scope->name_.data());
  }
  return result;
}

std::string detail::work_in_hand() {
  std::string text = thread_context.operation != nullptr ? thread_context.operation : "a tensor";
  if (const std::string scope = Scope::path(); !scope.empty()) text += ", in \"" + scope + "\"";
  return text;
}

}  // namespace tapeloop
