// SPDX-License-Identifier: MIT
// The main function of every test program, compiled once. It holds no test.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
