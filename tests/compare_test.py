#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bench/compare with programs of a few lines in place of benchmarks and peers: what it asks, and what failures cost.

Times nothing real and needs no peer.
"""
import importlib.util
import json
import os
import sys
import tempfile
import types
import unittest
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "bench" / "compare"))
import chart
import programs
import report
import rows

SPECIFICATION = importlib.util.spec_from_file_location("compare_main", Path(chart.__file__).parent / "__main__.py")
compare = importlib.util.module_from_spec(SPECIFICATION)
SPECIFICATION.loader.exec_module(compare)

BENCH = """#!/usr/bin/env python3
import json, re, sys
names = ["infer/lstm/H:40/bfloat16", "infer/lstm/H:40", "infer/lstm/H:4", "memory/lstm/T:1000/N:32/I:256/H:256",
         "train/lstm/T:64/N:1/I:64/H:64/threads:1/process_time"]
if "--benchmark_list_tests=true" in sys.argv:
    print("\\n".join(names))
    sys.exit()
pattern = [a.split("=", 1)[1] for a in sys.argv if a.startswith("--benchmark_filter=")][0]
found = [{"name": n, "real_time": 30.0, "cpu_time": 20.0, "time_unit": "us", "peak_MiB": 1.0, "resident_MiB": 2.0}
         for n in names if re.search(pattern, n)]
print(json.dumps({"context": {"kernels": "test"}, "benchmarks": found}))
"""
PEER = """
import json, os, sys, time
print(json.dumps({"peer": "fake", "version": "7"}), flush=True)
for line in sys.stdin:
    row = line.strip()
    if CRASH and CRASH in row:
        sys.exit("no luck today")
    if HANG and HANG in row:
        time.sleep(60)
    if RUBBISH and RUBBISH in row:
        print("hello", flush=True)
        continue
    if "gru" in row:
        print(json.dumps({"row": row, "unsupported": True}), flush=True)
        continue
    print(json.dumps({"row": row, "variant": str(os.getpid()), "seconds_per_step": WALL, "cpu_seconds_per_step": CPU}),
          flush=True)
"""
LSTM = "train/lstm/T:64/N:1/I:64/H:64/threads:1"


def peer(key, wall=40e-6, cpu=40e-6, crash="", hang="", rubbish=""):
    values = {"WALL": wall, "CPU": cpu, "CRASH": crash, "HANG": hang, "RUBBISH": rubbish}
    text = "".join(f"{name} = {value!r}\n" for name, value in values.items()) + PEER
    return programs.Peer(key, key.title(), [sys.executable, "-c", text])


class Compare(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        bench = self.folder / "some_bench"
        bench.write_text(BENCH, encoding="utf-8")
        bench.chmod(0o755)
        self.ours = programs.Ours(self.folder, 0.01)

    def run_rows(self, selected, *peers, rounds=3):
        everybody = [self.ours, *peers]
        args = types.SimpleNamespace(rounds=rounds, selected=selected)
        try:
            results, troubles, _ = compare.measure_all(args, everybody)
        finally:
            for program in everybody:
                program.close()
        return compare.summarize(selected, everybody, results), troubles

    def test_a_row_is_found_by_its_whole_name_and_known_suffixes_alone(self):
        self.assertEqual(self.ours.measure("infer/lstm/H:40")["variant"], "infer/lstm/H:40")
        self.assertEqual(self.ours.measure(LSTM)["variant"], LSTM + "/process_time")
        self.assertIsNone(self.ours.measure("infer/lstm/H:400"))
        self.assertIsNone(self.ours.measure("infer/lstm/H"))

    def test_seconds_come_from_the_unit_and_memory_from_what_is_resident(self):
        found = self.ours.measure("memory/lstm/T:1000/N:32/I:256/H:256")
        self.assertAlmostEqual(found["wall"], 30e-6)
        self.assertAlmostEqual(found["cpu"], 20e-6)
        self.assertEqual(found["mib"], 2.0)

    def test_the_ratio_is_that_of_the_fastest_peer(self):
        table, _ = self.run_rows([LSTM], peer("slow", cpu=90e-6), peer("fast", cpu=30e-6, wall=200e-6))
        self.assertEqual(table[0]["best_peer"], "fast")
        self.assertAlmostEqual(table[0]["ratio"], 1.5)  # one thread: CPU time
        self.assertEqual(len(table[0]["measurements"]["fast"]), 3)

    def test_two_threads_are_compared_by_the_clock(self):
        self.assertEqual(rows.quantity(LSTM.replace("threads:1", "threads:2")), "wall")
        self.assertEqual(rows.quantity(LSTM), "cpu")

    def test_a_row_that_a_program_does_not_have_is_a_gap_and_no_trouble(self):
        table, troubles = self.run_rows([LSTM.replace("lstm", "gru")], peer("one"))
        self.assertEqual(table[0]["medians"], {})
        self.assertIsNone(table[0]["ratio"])
        self.assertEqual(troubles, {})

    def test_a_peer_that_crashes_loses_that_row_and_no_other(self):
        table, troubles = self.run_rows(["infer/lstm/H:40", LSTM], peer("weak", crash="infer"), peer("sound"), rounds=2)
        self.assertEqual(sorted(table[0]["medians"]), ["ours", "sound"])
        self.assertEqual(sorted(table[1]["medians"]), ["ours", "sound", "weak"])
        self.assertEqual(troubles[("Weak", "infer/lstm/H:40")], "ended with status 1: no luck today")

    def test_a_peer_that_crashes_always_is_given_up(self):
        weak = peer("weak", crash="lstm")
        table, _ = self.run_rows(["infer/lstm/H:40", LSTM], weak, rounds=6)
        self.assertEqual(weak.starts, programs.MOST_RESTARTS + 1)
        self.assertEqual(len(table[0]["measurements"]["ours"]), 6)

    def test_a_peer_that_hangs_or_talks_nonsense_is_ended(self):
        with mock.patch.object(programs, "ANSWER_SECONDS", 0.5):
            table, troubles = self.run_rows(["infer/lstm/H:40", LSTM], peer("deaf", hang="infer"),
                                            peer("mad", rubbish="infer"), rounds=1)
        self.assertIn("no answer in 0.5 s", troubles[("Deaf", "infer/lstm/H:40")])
        self.assertIn(("Mad", "infer/lstm/H:40"), troubles)
        self.assertEqual(sorted(table[1]["medians"]), ["deaf", "mad", "ours"])

    def test_an_interruption_keeps_what_was_measured(self):
        args = types.SimpleNamespace(rounds=1, selected=["infer/lstm/H:40", LSTM])
        stopped = types.SimpleNamespace(key="stopped", title="Stopped", measure=mock.Mock(
            side_effect=[{"wall": 1.0, "cpu": 1.0}, KeyboardInterrupt]))
        results, _, complete = compare.measure_all(args, [stopped])
        self.assertFalse(complete)
        self.assertEqual(len(results["infer/lstm/H:40"]["stopped"]), 1)

    def test_a_program_that_is_not_there_is_trouble_of_its_own(self):
        table, troubles = self.run_rows([LSTM], programs.Peer("gone", "Gone", ["/nonexistent/peer"]), peer("one"))
        self.assertIn("No such file", troubles[("Gone", LSTM)])
        self.assertEqual(table[0]["best_peer"], "one")

    def test_op_by_op_asks_peers_for_their_own_cell_once_a_round(self):
        both = [LSTM.replace("lstm", kind) for kind in ("user_cell", "op_by_op")]
        table, _ = self.run_rows(both, peer("one"))
        self.assertEqual(table[0]["measurements"]["one"], table[1]["measurements"]["one"])

    def test_peers_answer_rows_that_are_ours_alone_by_the_same_work(self):
        for ours, theirs in (("train/op_by_op/T:1", "train/user_cell/T:1"), ("charlm/sample_stepper", "charlm/sample"),
                             ("charlm/sample_stepper_bf16", "charlm/sample"), ("infer/lstm_bf16/H:4", "infer/lstm/H:4"),
                             ("infer/lstm/H:4", "infer/lstm/H:4"), ("charlm/sample", "charlm/sample")):
            self.assertEqual(rows.peer_row(ours), theirs)
        labels = [chart.label(row) for row in rows.all_rows() if row.startswith(("charlm", "infer"))]
        self.assertEqual(len(labels), len(set(labels)) + 1)  # training with one and two threads shares one

    def test_memory_is_measured_in_a_fresh_process_and_once(self):
        row = "memory/lstm/T:1000/N:32/I:256/H:256"
        table, _ = self.run_rows([LSTM, row], peer("one"))
        here, fresh = (table[k]["measurements"]["one"] for k in (0, 1))
        self.assertEqual(len(fresh), 1)
        self.assertNotEqual(here[0]["variant"], fresh[0]["variant"])

    def test_counted_instructions_are_told_or_why_there_are_none(self):
        script = self.folder / "bench" / "callgrind.sh"
        self.assertIn("callgrind.sh", report.count_instructions(self.folder))  # it is not there
        script.parent.mkdir()
        script.write_text("#!/bin/sh\necho 'tape/node: 12 instructions'\n", encoding="utf-8")
        script.chmod(0o755)
        self.assertEqual(report.count_instructions(self.folder), "tape/node: 12 instructions")
        script.write_text("#!/bin/sh\necho 'valgrind is missing' >&2\nexit 1\n", encoding="utf-8")
        self.assertEqual(report.count_instructions(self.folder), "not counted: valgrind is missing")

    def test_a_report_that_cannot_be_written_leaves_the_old_one(self):
        path = self.folder / "report.md"
        report.write(path, "old")
        with self.assertRaises(UnicodeEncodeError):
            report.write(path, "new \ud800")
        self.assertEqual(path.read_text(encoding="utf-8"), "old\n")
        self.assertEqual(sorted(os.listdir(self.folder)), ["report.md", "some_bench"])

    def test_table_json_and_picture_are_well_formed(self):
        one = peer("one & <two>")
        table, troubles = self.run_rows(["infer/lstm/H:40", LSTM], one, peer("weak", crash="train"), rounds=1)
        run = {"about": {"CPU": "a & b", "date": "2026-01-01"}, "missing": {"Other": "not here"},
               "troubles": [{"peer": p, "row": r, "error": e} for (p, r), e in troubles.items()],
               "titles": {"ours": "Tapeloop", "one & <two>": one.title, "weak": "Weak"}, "rows": table}
        text = report.markdown(run)
        self.assertIn(f"| `{LSTM}` | 20.0 µs | 40.0 µs | - | 2.00 | One & <Two> |", text)
        self.assertIn("- Other: missing: not here", text)
        self.assertIn("no luck today", text)
        self.assertEqual(json.loads(report.as_json(run))["rows"][1]["ratio"], table[1]["ratio"])
        self.assertTrue(ElementTree.fromstring(chart.draw(run)).tag.endswith("svg"))
        self.assertEqual(chart.draw({**run, "rows": []}), "")


if __name__ == "__main__":
    unittest.main()
