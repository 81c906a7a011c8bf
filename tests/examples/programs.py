# SPDX-License-Identifier: MIT
"""What the tests of programs share: running one, and a list of what is wrong."""
import subprocess
import sys

failures = []


def check(right, what):
    if not right:
        failures.append(what)


def run(folder, *command, **options):
    """(exit code, standard output, standard error)"""
    done = subprocess.run(command, cwd=folder, text=True, timeout=250,
                          **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options})
    return done.returncode, done.stdout, done.stderr


def check_refused(folder, code, message, *command):
    """The program ends with this code and one line, which has the message."""
    got, _, error = run(folder, *command)
    check(got == code and message in error and error.count("\n") == 1, f"{command[1:]}: {got}, {error}")


def report(right):
    """Prints the failures, or `right` if there are none, and ends the program."""
    print("\n".join(failures) or right)
    sys.exit(1 if failures else 0)
