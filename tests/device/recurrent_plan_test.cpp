// SPDX-License-Identifier: MIT
// How recurrent() is divided over a GPU (autograd/device/cuda/recurrent/recurrent_plan.h): what fits, what covers, what is chosen. No kernels.
#include "tapeloop/autograd/device/cuda/recurrent/recurrent_plan.h"

#include <doctest/doctest.h>

#include <vector>

namespace tapeloop::cuda {
namespace {

constexpr DeviceLimits kHopper{132, 227 << 10, true};
constexpr DeviceLimits kAmpere{108, 163 << 10, false};

RecurrentShape lstm(std::int64_t hidden, std::int64_t batch, bool backward = false,
                    std::int64_t bytes = 4) {
  return {hidden, 4, batch, backward ? 7 : 6, bytes, backward};
}

}  // namespace

TEST_CASE("a division covers all units and rows, and fits the device") {
  for (const DeviceLimits& limits : {kHopper, kAmpere}) {
    for (const RecurrentForm form : {RecurrentForm::persistent, RecurrentForm::cluster}) {
      for (const bool backward : {false, true}) {
        for (const std::int64_t bytes : {4, 8}) {
          for (const std::int64_t hidden : {1, 5, 33, 65, 200, 256, 768, 1024, 1280, 4000}) {
            for (const std::int64_t batch : {1, 3, 16, 64, 129, 1000}) {
              const RecurrentShape shape = lstm(hidden, batch, backward, bytes);
              const RecurrentPlan plan = plan_recurrent(shape, limits, form);
              CAPTURE(hidden);
              CAPTURE(batch);
              if (plan.form == RecurrentForm::alternating) continue;
              CHECK(plan.form == form);
              CHECK(plan.units * plan.slices >= hidden);
              CHECK(plan.units * (plan.slices - 1) < hidden);
              CHECK(plan.rows * plan.groups >= batch);
              CHECK(plan.rows * (plan.groups - 1) < batch);
              const Tile tile = kTiles[plan.tile];
              CHECK(plan.rows <= tile.height());
              CHECK(plan.units * shape.columns_per_unit() <= plan.column_tiles * tile.width());
              CHECK(plan.column_tiles * plan.splits <= kWarps);
              CHECK(plan.shared_bytes <= limits.shared_bytes);
              if (form == RecurrentForm::cluster) {
                CHECK(limits.clusters);
                CHECK(plan.slices <= kPortable);
              } else {
                CHECK(plan.slices * plan.groups <= limits.multiprocessors);
              }
            }
          }
        }
      }
    }
  }
}

TEST_CASE(
    "weights on chip: an LSTM of 1024 units in float32, not one of 4000, not one of 1500 in "
    "float64") {
  const auto form_of = [](const RecurrentShape& shape) {
    return plan_recurrent(shape, kHopper, RecurrentForm::persistent).form;
  };
  for (const bool backward : {false, true}) {
    CHECK(form_of(lstm(1024, 16, backward)) == RecurrentForm::persistent);
    CHECK(form_of(lstm(4000, 16, backward)) == RecurrentForm::alternating);
    CHECK(form_of(lstm(1500, 1, backward, 8)) == RecurrentForm::alternating);
  }
}

TEST_CASE(
    "the form that is chosen: one launch for small batches, products by cuBLAS for large ones") {
  const auto chosen = [](const RecurrentShape& shape, const DeviceLimits& limits = kHopper) {
    return plan_recurrent(shape, limits, RecurrentForm::automatic);
  };
  for (const std::int64_t hidden : {64, 256, 512}) {
    for (const std::int64_t batch : {1, 16, 64}) {
      CAPTURE(hidden);
      CAPTURE(batch);
      CHECK(chosen(lstm(hidden, batch)).form != RecurrentForm::alternating);
      CHECK(chosen(lstm(hidden, batch, true)).form != RecurrentForm::alternating);
      CHECK(chosen(lstm(hidden, batch), kAmpere).form == RecurrentForm::persistent);
    }
  }
  CHECK(chosen(lstm(1024, 4096)).form == RecurrentForm::alternating);
  CHECK(chosen(lstm(4000, 1)).form == RecurrentForm::alternating);
  CHECK(chosen(lstm(256, 1)).form == RecurrentForm::cluster);  // 1 MB in 8 blocks
}

TEST_CASE(
    "a cluster lies within a GPC: 143 multiprocessors hold 16 clusters of 8 at once, not 17") {
  const DeviceLimits limits{143, 227 << 10, true};
  const RecurrentPlan plan = plan_recurrent(lstm(256, 68), limits, RecurrentForm::cluster);
  CHECK(plan.slices == 8);
  CHECK(plan.groups <= 16);  // 17 groups of 4 rows would take two turns
}

TEST_CASE("forms that are asked for are taken where they fit, and alternating always is") {
  CHECK(plan_recurrent(lstm(64, 1), kHopper, RecurrentForm::alternating).form ==
        RecurrentForm::alternating);
  CHECK(plan_recurrent(lstm(64, 1), kAmpere, RecurrentForm::cluster).form ==
        RecurrentForm::alternating);
  CHECK(plan_recurrent(lstm(1024, 64), kHopper, RecurrentForm::cluster).form ==
        RecurrentForm::alternating);
  CHECK(plan_recurrent(lstm(1024, 64), kHopper, RecurrentForm::persistent).form ==
        RecurrentForm::persistent);
}

}  // namespace tapeloop::cuda
