// SPDX-License-Identifier: MIT
// What most files of the library include, compiled once. Each file includes what it uses all the
// same. Not installed.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tapeloop/autograd/device/backend.h"
#include "tapeloop/autograd/ops/ops.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/autograd/tensor/memory.h"
