#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Instructions per node of the tape, forward and backward, counted by valgrind: no noise of the machine in it.
# Measures no time. Needs valgrind, which knows no AVX-512: it runs the portable build's AVX2 kernels.
#
#   bench/callgrind.sh [PROGRAM]      PROGRAM: a bench/tape_nodes; without one it is built, in build/callgrind
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
die() {
  printf 'callgrind.sh: %s\n' "$*" >&2
  exit 1
}

(($# <= 1)) || die "at most one argument, the program; got $#: $*"
command -v valgrind >/dev/null || die "valgrind is missing: apt-get install valgrind"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

program=${1:-}
if [[ -z $program ]]; then
  build=$root/build/callgrind
  program=$build/bench/tape_nodes
  if [[ ! -f $build/build.ninja ]]; then
    meson setup "$build" "$root" -Dcpu=portable -Dtests=false -Dexamples=false >"$scratch/log" 2>&1 ||
      { tail -n 20 "$scratch/log" >&2 && die "meson could not configure build/callgrind"; }
  fi
  ninja -C "$build" bench/tape_nodes >"$scratch/log" 2>&1 || { tail -n 20 "$scratch/log" >&2 && die "the build failed"; }
fi
[[ -x $program ]] || die "there is no program $program"

# Functions leave their results in variables: a failure within $(...) would not end the script.
count_instructions() {  # count_instructions NODES PASSES [untaped]: sets instructions
  if ! TAPELOOP_ISA=avx2 valgrind --tool=callgrind --callgrind-out-file="$scratch/out" "$program" "$@" \
    >"$scratch/log" 2>&1; then
    tail -n 10 "$scratch/log" >&2
    die "$program $* did not run under valgrind; it must be built with -Dcpu=portable"
  fi
  instructions=$(sed -n 's/.*Collected : \([0-9]*\).*/\1/p' "$scratch/log")
  [[ -n $instructions ]] || die "valgrind printed no count of instructions"
}

# One more pass, once everything is warm; what two sizes of it differ by belongs to the nodes.
count_per_node() {  # count_per_node [untaped]: sets per_node
  local small=1000 large=3000 counts=() nodes passes
  for nodes in $small $large; do
    for passes in 3 4; do
      count_instructions "$nodes" "$passes" "$@"
      counts+=("$instructions")
    done
  done
  per_node=$(((counts[3] - counts[2] - counts[1] + counts[0]) / (large - small)))
}

count_per_node
taped=$per_node
count_per_node untaped
printf 'tape/node: %d instructions per node, forward and backward; %d of them are the addition without a tape\n' \
  "$taped" "$per_node"
