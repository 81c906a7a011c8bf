// SPDX-License-Identifier: MIT
// The members of Tape that look inside: makes the observers that TapeOptions ask for, and returns
// their reports.
#include "tapeloop/autograd/look/inspect_record.h"
#include "tapeloop/autograd/look/profile_record.h"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop {

Tape::Tape(const TapeOptions& options) : Tape() {
  // The profile comes first: it must see each node, also one at which the inspection throws.
  if (options.measure) observers_.push_back(std::make_unique<detail::Profile>());
  if (options.check_finite || options.state_gradients) {
    observers_.push_back(
        std::make_unique<detail::Inspection>(options.check_finite, options.state_gradients));
  }
}

std::vector<StateGradient> Tape::state_gradients() const {
  const auto* const inspection = detail::find_observer<detail::Inspection>(observers_);
  if (inspection == nullptr || inspection->log() == nullptr) {
    fail("state_gradients",
         "this tape keeps no gradients of states; make it by Tape tape({.state_gradients = true})");
  }
  return *inspection->log();
}

static const detail::Profile& profile_of(const char* what, const detail::Observers& observers) {
  const auto* const profile = detail::find_observer<detail::Profile>(observers);
  if (profile == nullptr) {
    fail(what, "this tape does not measure; make it by Tape tape({.measure = true})");
  }
  return *profile;
}
ProfileReport Tape::profile() const { return profile_of("profile", observers_).report(); }
MemoryReport Tape::memory() const { return profile_of("memory", observers_).memory(); }

}  // namespace tapeloop
