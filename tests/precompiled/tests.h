// SPDX-License-Identifier: MIT
// What most tests include, compiled once for all. Each test includes what it uses all the same.
#include <fmt/format.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <sstream>
#include <thread>

#include "tapeloop/tapeloop.h"
#include "tests/support.h"
