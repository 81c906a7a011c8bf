# SPDX-License-Identifier: MIT
"""What the peers in Python share: the names of rows, timing, and the lines of JSON (row.h does so for those in C++).

Knows no framework and no model.
"""

import json
import time

RUN_SECONDS, TRIAL_SECONDS, TRIALS = 0.4, 0.05, 3


def positive_int(text):
    value = int(text) if text.strip().lstrip("+-").isdecimal() else 0
    if value < 1:
        raise ValueError(f"expected a whole number of at least 1, got '{text}'")
    return value


def parse_row(name):
    """"train/lstm/T:64/threads:1" -> kind "train/lstm" and sizes {"T": 64, "threads": 1}."""
    kind, sizes = [], {"threads": 1}
    for part in name.split("/"):
        key, colon, number = part.partition(":")
        if colon:
            sizes[key] = positive_int(number)
        else:
            kind.append(part)
    return "/".join(kind), sizes


def time_steps(step, repeats):
    """Seconds per step, wall and CPU of all threads."""
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(repeats):
        step()
    return (time.perf_counter() - wall) / repeats, (time.process_time() - cpu) / repeats


def repeats_for(seconds, one):
    return max(1, round(seconds / max(one, 1e-9)))


def resident_mib(key):
    """VmRSS, the memory resident now, or VmHWM, the most that ever was."""
    with open("/proc/self/status", encoding="utf-8") as file:
        for line in file:
            if line.startswith(key + ":"):
                return int(line.split()[1]) / 1024
    raise RuntimeError(f"/proc/self/status does not tell {key}")


class Answers:
    """Answers rows. `variants(kind, sizes)` gives the ways to compute a row as pairs of a name and a step, none where
    the row is not for this peer; `memory(kind, sizes)` answers rows about memory."""

    def __init__(self, variants, memory=None):
        self.variants, self.memory = variants, memory
        self.kept = {}  # row -> the name of its fastest variant, its step, repeats of a run

    def answer(self, row):
        """What is known about a row, as a dictionary."""
        kind, sizes = parse_row(row)
        if kind.startswith("memory/"):
            return self.memory(kind, sizes) if self.memory else {"unsupported": True}
        if row not in self.kept:
            self.kept[row] = self.fastest(kind, sizes)
        if self.kept[row] is None:
            return {"unsupported": True}
        name, step, repeats = self.kept[row]
        wall, cpu = time_steps(step, repeats)
        return {"variant": name, "seconds_per_step": wall, "cpu_seconds_per_step": cpu,
                "steps": repeats}

    def fastest(self, kind, sizes):
        best, least = None, None
        for name, step in self.variants(kind, sizes):
            first, _ = time_steps(step, 1)
            trial = repeats_for(TRIAL_SECONDS, first)
            wall = min(first, *(time_steps(step, trial)[0] for _ in range(TRIALS)))
            if least is None or wall < least:
                best, least = (name, step, repeats_for(RUN_SECONDS, wall)), wall
        return best

    def serve(self, peer, version, rows):
        """Tells who answers, then answers each row with a line of JSON."""
        print(json.dumps({"peer": peer, "version": version}), flush=True)
        for line in rows:
            row = line.strip()
            try:
                result = self.answer(row)
            except Exception as error:  # one row that fails must not lose the others
                result = {"error": f"{type(error).__name__}: {error}"}
            print(json.dumps({"row": row, **result}), flush=True)
