#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""gpu-check with the emulated GPU: its report, what a failed, endless or skipped program costs, a peer, a sanitizer, bad options;
and without a GPU.

Some of its programs are real ones linked with the emulation, the others a few lines of shell. No time is judged.

usage: tests/gpu_check_test.py GPU_CHECK GPU_BENCH_EMULATED REFERENCE_TEST_EMULATED GPU_BENCH
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

CHECK, BENCH, REFERENCE, REAL_BENCH = (str(Path(argument).resolve()) for argument in sys.argv[1:5])
ROOT = Path(__file__).resolve().parent.parent
PASSING = "echo '[doctest] test cases:  3 |  3 passed | 0 failed | 0 skipped'"
PEER = """
echo '{"peer": "PyTorch", "version": "9.9, of a few lines"}'
shift
for row in "$@"; do
  case $row in
    gpu/lstm/*) echo "{\\"row\\": \\"$row\\", \\"variant\\": \\"nn.LSTM, cuDNN\\", \\"seconds_per_step\\": 5.0}" ;;
    gpu/user_cell/*) echo "{\\"row\\": \\"$row\\", \\"variant\\": \\"op by op\\", \\"seconds_per_step\\": 100.0}"
      echo "{\\"row\\": \\"$row\\", \\"variant\\": \\"op by op, CUDA graph\\", \\"seconds_per_step\\": 50.0}" ;;
    gpu/gru/*) echo "{\\"row\\": \\"$row\\", \\"variant\\": \\"nn.GRU\\", \\"error\\": \\"no GRU here\\"}" ;;
  esac
done
"""


class GpuCheck(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        shutil.copy(CHECK, self.folder / "gpu-check")
        (self.folder / "programs").mkdir()
        (self.folder / "bin").mkdir()
        (self.folder / "build.txt").write_text("commit: 0123abc\nbuild: of a test\n")
        os.symlink(ROOT / "tests" / "reference", self.folder / "reference")
        os.symlink(BENCH, self.folder / "programs" / "gpu_bench")
        for name in ("captured_step_test", "device_parity_test", "device_models_test", "device_gradcheck_test",
                     "device_examples_test", "device_optim_test", "device_recurrent_test", "device_sequences_test",
                     "reference_test"):
            self.script(f"programs/{name}", PASSING)
        self.script("bin/python", PEER)

    def script(self, name, text):
        path = self.folder / name
        path.write_text("#!/bin/sh\n" + text + "\n")
        path.chmod(0o755)

    def test_times_of_divisions(self):
        file = self.folder / "times.txt"
        done = subprocess.run([BENCH, "--quick", "--times", file], capture_output=True, text=True, timeout=250)
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = [line.split() for line in file.read_text().splitlines() if not line.startswith("#")]
        # LSTM and GRU of 4 units, forward and backward: alternating, and two rows in one group or two.
        self.assertEqual(sorted(line[:5] for line in lines),
                         sorted(["4", gates, "2", way, groups] for gates in ("3", "4") for way in ("backward", "forward")
                                for groups in ("0", "1", "2")))
        self.assertTrue(all(len(line) == 6 and float(line[5]) > 0 for line in lines))
        self.assertIn("12 times in", done.stdout)
        done = subprocess.run([BENCH, "--quick", "--times", self.folder / "absent" / "x"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("cannot be written; name another file by --times", done.stderr)

    def run_check(self, *arguments, **environment):
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        return subprocess.run([self.folder / "gpu-check", *arguments], capture_output=True, text=True, timeout=250,
                              env={**os.environ, "PATH": path, **environment})

    def report(self, *arguments):
        done = self.run_check("--quick", *arguments)
        files = sorted((self.folder / "results").glob("*.json"))
        self.assertEqual(len(files), 1, done.stdout + done.stderr)
        return done, json.loads(files[0].read_text()), files[0].with_suffix(".md").read_text()

    def test_report(self):
        (self.folder / "programs" / "reference_test").unlink()
        os.symlink(REFERENCE, self.folder / "programs" / "reference_test")
        self.script("bin/compute-sanitizer", 'echo "$@" >>"$LOG"; shift 4; "$@"; echo "========= ERROR SUMMARY: 0 errors"')
        os.environ["LOG"] = str(self.folder / "log")
        done, report, text = self.report("--python", str(self.folder / "bin" / "python"))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertTrue(report["about"]["emulated"])
        self.assertIn("Nothing of this ran on a GPU", text)
        self.assertEqual(report["about"]["commit"], "0123abc")
        self.assertEqual(report["about"]["PyTorch"], "9.9, of a few lines")
        tests = {test["name"]: test for test in report["tests"]}
        self.assertEqual(len(tests), 9)
        self.assertTrue(all(test["outcome"] == "passed" for test in tests.values()), tests)
        self.assertRegex(" ".join(tests["reference cases"]["notes"]), r"reference on cuda: [1-9]\d* passed, 0 failed")
        self.assertEqual(len(report["sanitizers"]), 18)
        log = (self.folder / "log").read_text()
        for tool in ("memcheck", "racecheck", "synccheck"):
            self.assertIn(f"--tool {tool} --error-exitcode 1", log)
        rows = {row["row"]: row for row in report["rows"]}
        self.assertEqual(len(rows), 21)
        self.assertTrue(all(len(row["ours"]) > 0 for row in rows.values()))
        lstm = rows["gpu/lstm/step/float32/T:3/N:2/I:4/H:4"]
        ours = min(lstm["ours"].values())
        self.assertAlmostEqual(lstm["ratio"], 5 / ours, delta=1e-6 * lstm["ratio"])
        self.assertAlmostEqual(lstm["TFLOP/s"], 3 * 2 * 3 * 2 * 4 * 4 * 8 / ours / 1e12, delta=1e-6 * lstm["TFLOP/s"])
        self.assertIn("| gpu/user_cell/step/float32/T:3/N:2/I:4/H:4 |", text)
        self.assertIn("50.00 s (op by op, CUDA graph); 100.00 s (op by op)", text)
        met = {target["target"]: target for target in report["targets"]}
        self.assertTrue(met["a user's cell at least 10 x PyTorch's, op by op"]["met"], met)
        float32 = met["LSTM and GRU, float32, at least 1 x cuDNN"]
        self.assertFalse(float32["met"])  # there is no time of a GRU
        self.assertIn("2 of 4 rows have none", float32["reached"])
        self.assertIn("no GRU here", text)
        op_by_op = rows["gpu/op_by_op/step/float32/T:3/N:2/I:4/H:4"]  # PyTorch's is the one of user_cell
        self.assertEqual(op_by_op["peers"], {"op by op": 100.0, "op by op, CUDA graph": 50.0})

    def test_failures(self):
        self.script("programs/device_parity_test", "echo 'a value differs'; exit 1")
        self.script("programs/device_models_test", "sleep 60")
        self.script("programs/device_gradcheck_test", "echo 'SKIPPED: no reason'; " + PASSING)
        (self.folder / "programs" / "device_examples_test").unlink()
        done, report, text = self.report("--limit", "10", "--python", "no-such-python", "--row", "gpu/copy/MiB:1",
                                         "--row", "gpu/lstm/step/float32/T:2/N:1/I:3/H:3")
        self.assertEqual(done.returncode, 1)
        outcomes = {test["name"]: test for test in report["tests"]}
        self.assertEqual(outcomes["parity of operations"]["outcome"], "failed with status 1")
        self.assertIn("a value differs", outcomes["parity of operations"]["notes"])
        self.assertEqual(outcomes["models, mistakes"]["outcome"], "stopped after 10 s")
        self.assertEqual(outcomes["gradcheck"]["outcome"], "skipped in part")
        self.assertEqual((outcomes["gradcheck"]["passed"], outcomes["gradcheck"]["skipped"]), (2, 1))
        self.assertEqual(outcomes["examples, first 20 steps"]["outcome"], "failed with status 127")
        self.assertEqual(report["missing"]["PyTorch"], "no-such-python: No such file or directory")
        if not shutil.which("compute-sanitizer") and not Path("/usr/local/cuda/bin/compute-sanitizer").exists():
            self.assertIn("it comes with the CUDA toolkit", report["missing"]["compute-sanitizer"])
        self.assertEqual([row["row"] for row in report["rows"]],
                         ["gpu/copy/MiB:1", "gpu/lstm/step/float32/T:2/N:1/I:3/H:3"])
        self.assertIn("no figures to compare", text)

    def test_no_gpu(self):
        done = self.run_check("--quick", EMULATED_GPU_NONE="1")
        self.assertEqual(done.returncode, 77)
        self.assertIn("nothing was run. gpu_bench: cuda: there is no NVIDIA GPU", done.stdout)
        self.assertEqual(list((self.folder / "results").glob("20*")), [])

    def test_a_gpu_that_cannot_be_used(self):
        (self.folder / "programs" / "gpu_bench").unlink()
        self.script("programs/gpu_bench", "echo 'cuda: libcublas.so.13 cannot be loaded' >&2; exit 1")
        done = self.run_check()
        self.assertEqual(done.returncode, 1)
        self.assertIn("status 1: cuda: libcublas.so.13 cannot be loaded; --help says what is needed", done.stderr)

    def test_the_real_program_where_there_is_no_gpu(self):
        done = subprocess.run([REAL_BENCH], capture_output=True, text=True, timeout=100)
        if done.returncode == 0:
            self.skipTest("there is a GPU")
        self.assertEqual(done.returncode, 77)
        self.assertIn("gpu_bench: cuda: ", done.stderr)

    def test_options(self):
        for arguments, expected in (
                (["--rounds", "0"], "--rounds is '0', expected a whole number from 1 to 1000000"),
                (["--rounds"], "--rounds needs a value"), (["--fast"], "there is no option --fast; --help lists them"),
                (["--blas", "/nowhere"], "--blas: /nowhere is no folder")):
            done = self.run_check(*arguments)
            self.assertEqual(done.returncode, 2, arguments)
            self.assertIn(expected, done.stderr)
        done = self.run_check("--help")
        self.assertEqual(done.returncode, 0)
        self.assertIn("77 where there is no GPU", done.stdout)

    def test_a_library_folder_is_handed_on(self):
        (self.folder / "blas").mkdir()
        self.script("programs/device_parity_test", 'echo "$LD_LIBRARY_PATH" >&2; exit 1')
        _, report, _ = self.report("--blas", str(self.folder / "blas"), "--row", "gpu/launch/N:1")
        self.assertIn(str(self.folder / "blas"), report["tests"][0]["notes"][0])


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]], verbosity=0)
