#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""gpu-check as a whole: its real programs with the emulated GPU, then programs of a few lines that fail, hang or are missing;
cuBLAS in several places, bad options, and no GPU. No time is judged.

usage: tests/gpu_check_test.py GPU_TESTS_EMULATED GPU_BENCH_EMULATED GPU_MICRO_EMULATED GPU_BENCH
"""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

TESTS, BENCH, MICRO, REAL_BENCH = (str(Path(argument).resolve()) for argument in sys.argv[1:5])
ROOT = Path(__file__).resolve().parent.parent
LSTM = "gpu/lstm/step/float32/T:3/N:2/I:4/H:4"
# The suites in a few lines: what a suite does is in the shell variable of its name.
FEW_LINES = """
case "$*" in
  *--list-test-cases*) printf '%s\\n' '[doctest] listing all test case names' =====  'the first' 'one, that hangs' 'the last' =====
    exit ;;
esac
suite=${1#*/}; suite=${suite%%\\**}
run=$(eval "echo \\"\\$$suite\\"")
eval "$run"
echo '[doctest] test cases:  3 |  3 passed | 0 failed | 88 skipped'
"""
PEER = """
[ "$1" = -c ] && exit
echo '{"peer": "PyTorch", "version": "9.9, of a few lines"}'
shift 2
for row in "$@"; do
  case $row in
    gpu/lstm/*/half/*) echo "{\\"row\\": \\"$row\\", \\"variant\\": \\"nn.LSTM, cuDNN\\", \\"seconds_per_step\\": 2.5}" ;;
    gpu/lstm/*) echo "{\\"row\\": \\"$row\\", \\"variant\\": \\"nn.LSTM, cuDNN\\", \\"seconds_per_step\\": 5.0}" ;;
    gpu/user_cell/*) echo "{\\"row\\": \\"$row\\", \\"variant\\": \\"op by op\\", \\"seconds_per_step\\": 100.0}"
      echo "{\\"row\\": \\"$row\\", \\"variant\\": \\"op by op, CUDA graph\\", \\"seconds_per_step\\": 50.0}" ;;
    gpu/gru/*) echo "{\\"row\\": \\"$row\\", \\"variant\\": \\"nn.GRU\\", \\"error\\": \\"no GRU here\\"}" ;;
    gpu/op_by_op/*) exit 3 ;;
  esac
done
"""
SANITIZER = """
echo "$@" >>"$LOG"
case $2 in
  memcheck) shift 4; "$@" ;;
  *) echo '[doctest] test cases:  1 |  1 passed | 0 failed | 88 skipped' ;;  # saves time
esac
echo '========= ERROR SUMMARY: 0 errors'
"""


class GpuCheck(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        for name in ("gpu-check", "times.awk"):
            shutil.copy(ROOT / "bench" / "gpu" / name, self.folder)
        for name in ("programs", "bin", "peers"):
            (self.folder / name).mkdir()
        (self.folder / "build.txt").write_text("commit: 0123abc\nbuild: of a test\ncuda: 13\n")
        os.symlink(ROOT / "tests" / "reference", self.folder / "reference")
        os.symlink(BENCH, self.folder / "programs" / "gpu_bench")
        os.symlink(MICRO, self.folder / "programs" / "gpu_micro")
        self.script("programs/gpu_tests", FEW_LINES)
        self.script("bin/python3", PEER)
        self.script("bin/compute-sanitizer", SANITIZER)

    def script(self, name, text):
        path = self.folder / name
        path.write_text("#!/bin/sh\n" + text + "\n")
        path.chmod(0o755)

    def start(self, *arguments, **environment):
        return subprocess.Popen([self.folder / "gpu-check", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                start_new_session=True,
                                env={**os.environ, "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
                                     "LOG": str(self.folder / "sanitizer"), **environment})

    def run_check(self, *arguments, **environment):
        process = self.start(*arguments, **environment)
        out, error = process.communicate(timeout=250)
        return process.returncode, out, error

    def results(self, name="results.txt"):
        return (self.folder / "results" / name).read_text()

    def check_in_order(self, text, *lines):
        place = 0
        for line in lines:
            found = text.find(line, place)
            self.assertGreaterEqual(found, 0, f"{line} is not there, or not in this order:\n{text}")
            place = found

    def test_dry_run(self):
        """The whole script, with every program of the packed folder on the emulated GPU."""
        (self.folder / "programs" / "gpu_tests").unlink()
        os.symlink(TESTS, self.folder / "programs" / "gpu_tests")
        status, out, error = self.run_check("--quick")
        text = self.results()
        self.assertEqual(status, 0, out + error)
        self.assertIn("Nothing of this ran on a GPU", text)
        self.assertRegex(text, r"parts passed, 0 failed, 0 left out")
        self.check_in_order(text, "commit: 0123abc", "16-byte load of a warp", "step by flags, 12 blocks", "step by words",
                            "cycles of single steps", "parity of operations: 1 passed", "captured steps: 1 passed",
                            "optimizers", "models", "forms of recurrent(): ", "passed", "s  rows",
                            "PyTorch's rows", "times of recurrent()'s divisions", "sequence to sequence", "reference cases", "gradcheck", "examples",
                            "memcheck of device_parity, ERROR SUMMARY: 0 errors: 1 passed", "racecheck of device_recurrent",
                            "The fastest form of each", f"  {LSTM}: ")
        times = [json.loads(line) for line in self.results("rows.jsonl").splitlines()]
        self.assertEqual([line["peer"] for line in times if "peer" in line], ["Tapeloop", "PyTorch"])
        ours = [line for line in times if line.get("row") == LSTM and "cuDNN" not in line["variant"]]
        self.assertGreaterEqual({line["variant"] for line in ours},
                                {"as the library chooses", "as the library chooses, captured", "alternating"})
        line = re.search(rf"^  {LSTM}: .*$", text, re.MULTILINE)[0]
        least = min(line["seconds_per_step"] for line in ours)
        self.assertIn(f"PyTorch 5.00 s (nn.LSTM, cuDNN), PyTorch / Tapeloop {5 / least:.2f}, in half precision 2.50 s", line)
        line = re.search(rf"^  {LSTM.replace('lstm', 'op_by_op')}: .*$", text, re.MULTILINE)[0]
        self.assertIn("PyTorch 50.00 s (op by op, CUDA graph)", line)  # that of user_cell
        self.assertIn("nn.GRU: \"no GRU here\"", text)
        self.assertRegex(self.results("log.txt"), r"reference on cuda: [1-9]\d* passed|test cases: .*1 \| +1 passed")
        sanitizer = (self.folder / "sanitizer").read_text()
        for tool in ("memcheck", "synccheck", "racecheck"):
            self.assertIn(f"--tool {tool} --error-exitcode 1", sanitizer)

    def test_what_fails_hangs_or_is_skipped(self):
        self.script("bin/compute-sanitizer", """
            echo "$@" >>"$LOG"
            echo '========= COMPUTE-SANITIZER'
            case "$*" in
              *synccheck*) exec sleep 60 ;;
              *racecheck*device_optim*) echo '========= Error: Race reported between two accesses'
                echo '========= RACECHECK SUMMARY: 1 hazard displayed'
                exit 1 ;;
            esac
            shift 4
            "$@"
            status=$?
            case "$*" in *device_parity*) echo '========= ERROR SUMMARY: 0 errors' ;; esac
            exit $status
            """)
        status, out, error = self.run_check(
            "--only", "tests,sanitizers", "--limit", "2",
            device_parity="printf 'TEST CASE:  two and two\\nTEST CASE:  two and two\\n'; exit 1",
            captured_step="exec sleep 60", device_optim="echo 'SKIPPED: no reason'", device_models="exit",
            device_recurrent='case "$*" in *first=2*) exec sleep 60 ;; esac')
        text = self.results()
        self.assertEqual(status, 1, out + error)
        self.check_in_order(text, "parity of operations: status 1, no cases failed; two and two\n",
                            "captured steps: stopped after 2 s", "optimizers, clipping: 2 passed, 1 skipped",
                            "models, mistakes: it ran no test case", "forms of recurrent(): the first: 1 passed",
                            "forms of recurrent(): one, that hangs: stopped after 2 s", "the same under memcheck",
                            "forms of recurrent(): the last: 1 passed")
        self.check_in_order(text, "memcheck of device_parity, ERROR SUMMARY: 0 errors: status 1, no cases failed; two and two\n",
                            "memcheck of device_optim: compute-sanitizer wrote no summary",
                            "left out     2 s  synccheck of device_recurrent: stopped after 2 s, nothing was found until then",
                            "racecheck of device_optim, Error: Race reported between two accesses, RACECHECK SUMMARY: 1 hazard"
                            " displayed: status 1")
        sanitizer = (self.folder / "sanitizer").read_text()
        self.check_in_order(sanitizer, "--tool memcheck --error-exitcode 1 ", "/device_recurrent*_test.cpp --first=2 --last=2\n")
        self.assertNotIn("cycles", text)

    def test_results_are_there_after_every_part(self):
        process = self.start("--only", "tests", captured_step="exec sleep 20")
        for _ in range(300):
            time.sleep(0.1)
            if (self.folder / "results" / "log.txt").exists() and "captured_step" in self.results("log.txt"):
                break
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        self.assertIn("parity of operations: 3 passed", self.results())
        self.assertNotIn("captured", self.results())

    def test_a_part_that_no_time_is_left_for(self):
        status, _, error = self.run_check("--only", "tests", "--seconds", "7", device_parity="sleep 3")
        self.assertEqual(status, 0, error)
        self.check_in_order(self.results(), "passed       3 s  parity of operations: 3 passed",
                            "left out     0 s  captured steps: no time is left", "left out     0 s  examples",
                            "1 parts passed, 0 failed, ")

    def test_without_pytorch_and_sanitizer(self):
        for name in ("python3", "compute-sanitizer"):
            (self.folder / "bin" / name).unlink()
        self.script("bin/python", "echo 'ModuleNotFoundError: no torch here' >&2; exit 1")
        status, _, error = self.run_check("--quick", "--only", "rows,sanitizers", "--python", str(self.folder / "bin" / "python"))
        self.assertEqual(status, 0, error)
        text = self.results()
        self.assertIn("PyTorch's rows: ModuleNotFoundError: no torch here", text)
        if not shutil.which("compute-sanitizer") and not list(Path("/usr/local").glob("cuda*/bin/compute-sanitizer")):
            self.assertIn("compute-sanitizer: it is neither in PATH", text)
        self.assertRegex(text, rf"  {LSTM}: \S+ \w+ \([\w ,]+\)\n")

    def test_no_gpu(self):
        status, out, _ = self.run_check("--quick", EMULATED_GPU_NONE="1")
        self.assertEqual(status, 77)
        self.assertIn("nothing was run. gpu_bench: cuda: there is no NVIDIA GPU", out)
        self.assertEqual(self.results(), "")

    def test_a_gpu_that_cannot_be_used(self):
        (self.folder / "programs" / "gpu_bench").unlink()
        self.script("programs/gpu_bench", "echo 'cuda: libcublas.so.13 cannot be loaded' >&2; exit 1")
        status, _, error = self.run_check()
        self.assertEqual(status, 1)
        self.assertIn("status 1: cuda: libcublas.so.13 cannot be loaded; --blas names the folder of cuBLAS", error)

    def test_the_real_program_where_there_is_no_gpu(self):
        done = subprocess.run([REAL_BENCH], capture_output=True, text=True, timeout=100)
        if done.returncode == 0:
            self.skipTest("there is a GPU")
        self.assertEqual(done.returncode, 77)
        self.assertIn("gpu_bench: cuda: ", done.stderr)

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

    def test_lists_of_rows(self):
        rows = {which: subprocess.run([BENCH, "--list", which], capture_output=True, text=True).stdout.split()
                for which in ("main", "all", "quick")}
        self.assertEqual(rows["all"][:len(rows["main"])], rows["main"])
        self.assertEqual(len(set(rows["all"])), len(rows["all"]))
        self.assertIn("gpu/lstm/step/float32/T:1024/N:16/I:768/H:768", rows["main"])
        self.assertIn(LSTM, rows["quick"])
        done = subprocess.run([BENCH, "--list", "most"], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr),
                         (2, "gpu_bench: got --list most, expected --list main, all or quick\n"))

    def test_options(self):
        for arguments, expected in (
                (["--seconds", "0"], "--seconds is '0', expected a whole number from 1 to 999999"),
                (["--limit"], "--limit needs a value"), (["--fast"], "there is no option --fast; --help lists them"),
                (["--only", "tests,all"], "--only is 'tests,all', expected some of tests,rows,sanitizers"),
                (["--blas", "/nowhere"], "--blas: there is no libcublas.so.N in /nowhere")):
            status, _, error = self.run_check(*arguments)
            self.assertEqual(status, 2, arguments)
            self.assertIn(expected, error)
        status, out, _ = self.run_check("--help")
        self.assertEqual(status, 0)
        self.assertIn("77 if there is no GPU", out)

    def test_cublas_is_found(self):
        """In the folder of --blas, in lib/, in LD_LIBRARY_PATH, and in the packages of Python, in this order."""
        (self.folder / "programs" / "gpu_bench").unlink()
        self.script("programs/gpu_bench", 'echo "it looks in $LD_LIBRARY_PATH" >&2; exit 1')
        self.script("bin/ldconfig", "")
        packages = self.folder / "site" / "nvidia" / "cu13" / "lib"
        self.script("bin/python3", f'exec /usr/bin/env PYTHONPATH={self.folder / "site"} {sys.executable} "$@"')
        places = [packages, self.folder / "set", self.folder / "lib", self.folder / "blas"]
        for place in places:
            place.mkdir(parents=True)
            (place / "libcublas.so.12").touch()  # of another CUDA
        known = list(Path("/usr/local").glob("cuda*/lib64/libcublas.so.13"))
        for place in places:
            (place / "libcublas.so.13").touch()
            arguments = ["--blas", str(place)] if place.name == "blas" else []
            _, _, error = self.run_check(*arguments, LD_LIBRARY_PATH=str(self.folder / "set"))
            found = re.search(r"it looks in ([^:;\n]*)", error)[1]
            if place == packages and known:
                self.assertTrue(found.startswith("/usr/local/cuda"), error)
            else:
                self.assertEqual(found, str(place), error)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]], verbosity=0)
