# SPDX-License-Identifier: MIT
"""Runs the programs that are compared: ours, by Google Benchmark's options, and peers, by lines.

Decides neither what is run nor in which order. A measurement is a dictionary with "wall" and "cpu"
(seconds per step) or "mib", and "variant"; one that failed has "error", one that the program does
not offer is None.
"""

import json
import os
import re
import selectors
import signal
import subprocess
import tempfile
import time
from pathlib import Path

ANSWER_SECONDS = 300  # the first answer about a large row times several variants
START_SECONDS = 120
MOST_RESTARTS = 3
SUFFIXES = re.compile(r"(/(process_time|real_time|manual_time|(iterations|repeats|min_time):[^/]+))*")
UNITS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1}


class Ours:
    """The programs NAME_bench of a build folder."""

    key, title = "ours", "Tapeloop"

    def __init__(self, folder, run_seconds):
        self.run_seconds, self.context, self.benchmarks = run_seconds, {}, {}
        self.programs = sorted(path for path in Path(folder).glob("*_bench")
                               if os.access(path, os.X_OK))
        for program in self.programs:
            listed = subprocess.run([program, "--benchmark_list_tests=true"], text=True,
                                    capture_output=True, timeout=START_SECONDS, check=False)
            for name in listed.stdout.split():
                self.benchmarks[name] = program

    def measure(self, row):
        for name, program in self.benchmarks.items():
            if name.startswith(row) and SUFFIXES.fullmatch(name[len(row):]):
                return self.run(program, name)
        return None

    def run(self, program, name):
        escaped = re.sub(r"([][\\.^$*+?{}()|])", r"\\\1", name)
        command = [program, f"--benchmark_filter=^{escaped}$", "--benchmark_format=json",
                   f"--benchmark_min_time={self.run_seconds}"]
        try:
            done = subprocess.run(command, text=True, capture_output=True, timeout=ANSWER_SECONDS,
                                  check=False)
            report = json.loads(done.stdout)
            result = [b for b in report["benchmarks"] if b.get("run_type") != "aggregate"][0]
        except (subprocess.TimeoutExpired, ValueError, LookupError) as error:
            return {"error": f"{program.name}: {type(error).__name__} instead of a result"}
        self.context = report.get("context", {})
        if result.get("error_occurred"):
            return {"error": result.get("error_message", "unknown")}
        unit = UNITS[result["time_unit"]]
        found = {"wall": result["real_time"] * unit, "cpu": result["cpu_time"] * unit,
                 "variant": name}
        if "resident_MiB" in result:  # what peers measure of themselves
            found["mib"] = result["resident_MiB"]
        return found

    def close(self):
        pass


class Peer:
    """A program that is given rows on standard input and answers each with a line of JSON."""

    def __init__(self, key, title, command, env=None):
        self.key, self.title, self.command = key, title, [str(part) for part in command]
        self.env = {**os.environ, **(env or {})}
        self.version, self.trouble, self.starts = "", "", 0
        self.process = self.errors = None
        self.buffer = b""

    def measure(self, row):
        if self.starts > MOST_RESTARTS:
            return {"error": self.trouble}
        try:
            if self.process is None:
                self.start()
            self.process.stdin.write(row.encode() + b"\n")
            self.process.stdin.flush()
            answer = self.read_line(ANSWER_SECONDS)
        except (OSError, ValueError, TimeoutError) as error:
            self.trouble = f"{error}{self.last_words()}"
            self.close()
            return {"error": self.trouble}
        if answer.get("unsupported"):
            return None
        if "error" in answer:
            return {"error": answer["error"]}
        names = {"seconds_per_step": "wall", "cpu_seconds_per_step": "cpu"}
        return {names.get(key, key): value for key, value in answer.items() if key != "row"}

    def measure_afresh(self, row):
        """The same in a process of its own, for rows about memory."""
        once = Peer(self.key, self.title, self.command, self.env)
        try:
            return once.measure(row)
        finally:
            once.close()

    def start(self):
        self.starts += 1
        self.buffer = b""
        self.errors = tempfile.TemporaryFile()
        # A session of its own: Ctrl-C is for the comparison, which ends its peers itself.
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, bufsize=0,
                                        stdout=subprocess.PIPE, stderr=self.errors, env=self.env,
                                        start_new_session=True)
        self.version = self.read_line(START_SECONDS).get("version", "")

    def read_line(self, seconds):
        deadline = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while b"\n" not in self.buffer:
                if not selector.select(max(0, deadline - time.monotonic())):
                    raise TimeoutError(f"no answer in {seconds} s")
                piece = os.read(self.process.stdout.fileno(), 65536)
                if not piece:
                    raise OSError(f"ended with status {self.process.wait()}")
                self.buffer += piece
        line, self.buffer = self.buffer.split(b"\n", 1)
        return json.loads(line)

    def last_words(self):
        """The last line that the program wrote about its end, as ": LINE"."""
        if self.errors is None:
            return ""
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").strip().splitlines()
        return f": {lines[-1]}" if lines else ""

    def close(self):
        if self.process is not None:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)  # itself and what it started
            except ProcessLookupError:
                pass
            self.process.wait()
            self.process.stdin.close()
            self.process.stdout.close()
        if self.errors is not None:
            self.errors.close()
        self.process = self.errors = None
