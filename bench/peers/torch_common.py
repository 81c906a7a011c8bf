# SPDX-License-Identifier: MIT
"""What the PyTorch peers share: checked arguments, thread settings and the description of a run.

Knows no model and times nothing.
"""

import argparse
import json
import math
import os
import platform
import tempfile

import torch

import peer_rows

DTYPES = {"float32": torch.float32, "float64": torch.float64}


def positive_int(text):
    """Argument type: a whole number of at least 1."""
    try:
        return peer_rows.positive_int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def positive_float(text):
    """Argument type: a finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"expected a finite number above 0, got '{text}'")
    return value


def seed_number(text):
    """Argument type: a whole number from 0 to 2^63 - 1, the range every PyTorch accepts."""
    try:
        value = int(text)
    except ValueError:
        value = -1
    if not 0 <= value < 2**63:
        raise argparse.ArgumentTypeError(
            f"expected a whole number from 0 to 2^63 - 1, got '{text}'")
    return value


def json_path(text):
    """Argument type: a path that can be written at the end, checked before the work starts."""
    folder = os.path.dirname(text) or "."
    if not os.path.isdir(folder):
        raise argparse.ArgumentTypeError(f"'{folder}' is not a folder; create it first")
    if not os.access(folder, os.W_OK):
        raise argparse.ArgumentTypeError(f"cannot write into the folder '{folder}'; choose another")
    if os.path.isdir(text):
        raise argparse.ArgumentTypeError(f"'{text}' is a folder; give the name of a file")
    return text


def write_json(path, values):
    """Writes `values` beside `path` and renames, so that a failure leaves an older file whole."""
    handle, draft = tempfile.mkstemp(dir=os.path.dirname(path) or ".", suffix=".json")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(values, file, indent=2, allow_nan=False)
            file.write("\n")
        os.chmod(draft, 0o644)  # mkstemp makes files that only their owner may read
        os.replace(draft, path)
    except BaseException:
        os.unlink(draft)
        raise


def set_threads(count):
    """Lets PyTorch use `count` threads inside an operation and one between operations."""
    torch.set_num_threads(count)
    torch.set_num_interop_threads(1)


def cpu_name():
    """The processor's name as the kernel gives it, or the architecture where it gives none."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.machine()


def environment():
    """What a result depends on besides the arguments: versions, processor, instruction set."""
    capability = [line.split(":", 1)[1].strip() for line in torch.__config__.show().splitlines()
                  if "CPU capability usage" in line]
    return {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "cpu": cpu_name(),
        "capability": capability[0] if capability else "unknown",
        "blas": "mkl" if torch.backends.mkl.is_available() else "system",
        "onednn": torch.backends.mkldnn.is_available(),
        "threads": torch.get_num_threads(),
    }


def environment_line():
    """`environment()` as one printed line."""
    env = environment()
    return (f"torch {env['torch']}, {env['cpu']}, {env['capability']}, BLAS {env['blas']}, "
            f"oneDNN {'yes' if env['onednn'] else 'no'}, threads {env['threads']}")


def check_gradients(parameters):
    """Raises unless every parameter has a gradient that is finite and not all zero."""
    for parameter in parameters:
        grad = parameter.grad
        if grad is None or not torch.isfinite(grad).all() or not grad.abs().max() > 0:
            raise RuntimeError("a parameter got no gradient; its time would say nothing")
