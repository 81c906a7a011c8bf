# SPDX-License-Identifier: MIT
"""How each peer is obtained: the packages it needs, what is installed, compiled and started.

Times nothing. `./dev bench --compare` installs the packages first; what is missing after that makes
its peer missing, with the reason, and no other.
"""

import os
import subprocess
import sys
from pathlib import Path

from programs import Peer

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = {  # of Debian and Ubuntu
    "torch": ("python3-venv",),
    "debian_torch": ("python3-torch", "libopenblas0-openmp"),
    "libtorch": ("python3-venv",),
    "onednn": ("libdnnl-dev",),
    "dynet": ("python3-venv",),
}
TITLES = {"torch": "PyTorch (PyPI)", "debian_torch": "PyTorch (Debian)", "libtorch": "libtorch",
          "onednn": "oneDNN", "dynet": "DyNet"}
DEBIAN_PYTHON = "/usr/bin/python3"
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion")


class Missing(Exception):
    """Why a peer cannot be had."""


def last_line(text):
    lines = text.strip().splitlines()
    return lines[-1] if lines else "no message"


def run(command, what, log=None):
    """Runs a command quietly and returns its standard output; raises Missing where it fails."""
    try:
        done = subprocess.run([str(part) for part in command], text=True, check=False,
                              capture_output=True)
    except OSError as error:
        raise Missing(f"{what}: {error.strerror}: {command[0]}") from error
    if log:
        log.write_text(done.stdout + done.stderr, encoding="utf-8")
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if "error" in line.lower()]
        told = errors[0] if errors else last_line(done.stderr or done.stdout)
        raise Missing(f"{what}: {told.replace(f'{ROOT}/', '')}")
    return done.stdout


class SetUp:
    """Makes peers in `build`, a folder outside the sources; a Python with torch or DyNet may be named."""

    def __init__(self, build, torch_python=None, dynet_python=None):
        self.build, self.sources = Path(build), ROOT / "bench" / "peers"
        self.given_python, self.given_dynet = torch_python, dynet_python

    def peer(self, key):
        self.build.mkdir(parents=True, exist_ok=True)
        return Peer(key, TITLES[key], getattr(self, key)())

    def torch_python(self):
        """The Python of a virtual environment with PyPI's torch, made where it is missing."""
        if self.given_python:
            run([self.given_python, "-c", "import torch"], f"import torch by {self.given_python}")
            return self.given_python
        folder = self.build / "venv"
        python = folder / "bin" / "python"
        try:
            run([python, "-c", "import torch"], "import torch")
        except Missing:
            print("dev: installing PyTorch into build/peers/venv, once; 5.5 GB with the libraries "
                  "that its wheel brings", file=sys.stderr)
            run([DEBIAN_PYTHON, "-m", "venv", folder], "python3 -m venv")
            run([python, "-m", "pip", "install", "--quiet", "torch"], "pip install torch")
            run([python, "-c", "import torch"], "import torch")
        return python

    def torch(self):
        return [self.torch_python(), self.sources / "torch_peer.py"]

    def debian_torch(self):
        run([DEBIAN_PYTHON, "-c", "import torch"], "python3-torch")
        return [DEBIAN_PYTHON, self.sources / "torch_peer.py"]

    def libtorch(self):
        folder = Path(run([self.torch_python(), "-c", "import torch; print(torch.__path__[0])"],
                          "import torch").strip())
        include, lib = folder / "include", folder / "lib"
        return self.compile("lstm_libtorch", "-isystem", include, "-isystem",
                            include / "torch" / "csrc" / "api" / "include", f"-L{lib}",
                            f"-Wl,-rpath,{lib}", "-Wl,--as-needed", "-ltorch", "-ltorch_cpu",
                            "-lc10")

    def onednn(self):
        return self.compile("rnn_onednn", "-fopenmp", "-ldnnl")

    def dynet(self):
        """The wheel of DyNet's Python package, with the last NumPy that its code is made for."""
        if self.given_dynet:
            run([self.given_dynet, "-c", "import dynet"], f"import dynet by {self.given_dynet}")
            return [self.given_dynet, self.sources / "dynet_peer.py"]
        folder = self.build / "dynet"
        python = folder / "bin" / "python"
        try:
            run([python, "-c", "import dynet"], "import dynet")
        except Missing:
            print("dev: installing DyNet into build/peers/dynet, once", file=sys.stderr)
            run([DEBIAN_PYTHON, "-m", "venv", folder], "python3 -m venv")
            run([python, "-m", "pip", "install", "--quiet", "--only-binary=:all:", "dyNET38",
                 "numpy<1.24"], "pip install dyNET38")
            run([python, "-c", "import dynet"], "import dynet")
        return [python, self.sources / "dynet_peer.py"]

    def compile(self, name, *options):
        """Compiles NAME.cpp unless its program is newer than all sources and was made likewise."""
        source, program = self.sources / f"{name}.cpp", self.build / name
        command = [os.environ.get("CXX", "c++"), "-std=c++20", "-O3", "-march=native", *WARNINGS,
                   source, "-o", program, *options]
        made_by = self.build / f"{name}.command"
        wanted = "\n".join(str(part) for part in command)
        if program.exists() and made_by.exists() and made_by.read_text(encoding="utf-8") == wanted:
            if all(program.stat().st_mtime > path.stat().st_mtime
                   for path in (source, self.sources / "row.h")):
                return [program]
        print(f"dev: compiling bench/peers/{name}.cpp", file=sys.stderr)
        program.unlink(missing_ok=True)
        run(command, f"compiling {name}.cpp", self.build / f"{name}.log")
        made_by.write_text(wanted, encoding="utf-8")
        return [program]
