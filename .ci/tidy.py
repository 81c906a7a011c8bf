#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs clang-tidy on the .cpp files of folders and prints each finding once.

Most of the time goes into headers. So one run analyses a unit of up to ten files that define different names. Files
that do not compile together are analysed alone. A using declaration counts as used if any file of the unit uses it.

BUILD/tidy keeps the findings of a unit: it is analysed again only if a file, a header of this repository that it
includes, its options or .clang-tidy changed.

usage: .ci/tidy.py CLANG_TIDY BUILD JOBS FOLDER...      BUILD: made by meson with clang; says how files are compiled
"""
import concurrent.futures
import functools
import hashlib
import itertools
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UNIT_FILES = 10
INCLUDE = re.compile(rb'^\s*#\s*include\s+[<"]([^>"]+)[>"]', re.MULTILINE)
PLACE = re.compile(r"^([^\s:]+):(\d+:\d+: (warning|error|note): .*)$")
# Of a command, what names one file or makes only the object file different.
OF_ONE_FILE = re.compile(r" -M[DQF]( \S+\.o(\.d)?)?| -[oc] \S+| -I\S+\.p(?= )| -O\w| -fPIC| -pthread| -Werror")
# What a file defines at the left margin: functions and variables, and types.
DEFINED = re.compile(r"^(?!using )\w[\w:<>,&*\[\] ]*[ &*](\w+)(?:\(| = |\[|\{|;)|"
                     r"^(?:struct|class|enum(?: class)?) (\w+)|^using (\w+) =", re.MULTILINE)


def options_of(build):
    """{file: its compiler options} of each .cpp file of the repository."""
    found = {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        path = (Path(entry["directory"]) / entry["file"]).resolve()
        if path.is_relative_to(ROOT) and not path.is_relative_to(build):
            words = shlex.split(OF_ONE_FILE.sub("", entry["command"]))
            options = itertools.dropwhile(lambda word: not word.startswith("-"), words)  # without the compiler
            found.setdefault(path.relative_to(ROOT).as_posix(), (*options, "-w"))  # the build shows the warnings
    return found


def units_of(files):
    """Lists of files with the same options, from one top folder, that do not define the same names."""
    units = {}
    for file, options in sorted(files.items()):
        names = {name for match in DEFINED.findall((ROOT / file).read_text()) for name in match} - {"", "main"}
        rows = units.setdefault((file.split("/")[0], options), [])
        for members, defined in rows:
            if len(members) < UNIT_FILES and not defined & names:
                members.append(file)
                defined |= names
                break
        else:
            rows.append(([file], names))
    return [(members, options) for (_, options), rows in units.items() for members, _ in rows]


@functools.cache
def content(path):
    return path.read_bytes() if path.is_file() else None


def read_by(files, options, build):
    """{path: content} of the files and of what they include, directly or not, from the repository or the build."""
    folders = [(build / option[2:]).resolve() for option in options if option.startswith("-I")]
    seen, waiting = {}, [ROOT / file for file in files]
    while waiting:
        current = waiting.pop()
        if current not in seen:
            seen[current] = content(current)
            for name in INCLUDE.findall(seen[current]):
                near = ((folder / name.decode()).resolve() for folder in [current.parent, *folders])
                waiting += [path for path in near if path.is_relative_to(ROOT) and content(path) is not None][:1]
    return seen


def findings_of(output, build):
    """The findings in clang-tidy's output, each with the lines below it, which show the place."""
    found = []
    for line in output.splitlines():
        match = PLACE.match(line)
        if match:
            path = (build / match[1]).resolve()
            line = f"{path.relative_to(ROOT) if path.is_relative_to(ROOT) else path}:{match[2]}"
        if match and match[3] != "note":
            found.append(line)
        elif found:
            found[-1] += "\n" + line
    return found


def run(tidy, build, files, options):
    """Findings in the files, and those of them that do not compile together."""
    unit = build / "tidy" / (files[0].replace("/", "-") + f"-{len(files)}.cpp")
    unit.write_text("".join(f'#define main main_{i}\n#include "{ROOT / file}"\n#undef main\n'
                            for i, file in enumerate(files)))
    process = subprocess.run([tidy, "--quiet", str(unit), "--", *options], cwd=build, text=True, capture_output=True)
    found = findings_of(process.stdout, build)
    if process.returncode < 0 or (process.returncode > 0 and not found):
        sys.exit(f"{tidy} ended with {process.returncode} on {' '.join(files)}\n{process.stdout}{process.stderr}")
    errors = [finding for finding in found if "[clang-diagnostic-error]" in finding]
    wrong = [file for file in files if any(error.startswith(f"{file}:") for error in errors)]
    return found, wrong or files if errors else []


def analyse(tidy, build, files, options):
    found, wrong = run(tidy, build, files, options)
    if not wrong or len(files) == 1:
        return found
    together = [file for file in files if file not in wrong]
    parts = [[file] for file in wrong] + ([together] if together else [])
    return [finding for part in parts for finding in analyse(tidy, build, part, options)]


def analyse_and_keep(kept, key, *arguments):
    found = analyse(*arguments)
    kept.write_text(json.dumps({"key": key, "findings": found}))
    return found


def main():
    if len(sys.argv) < 5:
        sys.exit(__doc__)
    tidy, build, jobs, folders = sys.argv[1], Path(sys.argv[2]).resolve(), int(sys.argv[3]), sys.argv[4:]
    files = {}
    for folder in (folder.rstrip("/") for folder in folders):
        inside = {file: options for file, options in options_of(build).items() if f"{file}/".startswith(f"{folder}/")}
        if not inside:
            sys.exit(f"lint: the build has no .cpp file in {folder}; give folders from the root of the repository")
        files |= inside
    (build / "tidy").mkdir(exist_ok=True)
    printed, results, analysed = set(), [], 0
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for members, options in units_of(files):
            state = hashlib.sha256(repr((options, content(ROOT / ".clang-tidy"))).encode())
            for path, text in sorted(read_by(members, options, build).items()):
                state.update(repr((str(path), text, content(path.parent / ".clang-tidy"))).encode())
            kept = build / "tidy" / (members[0].replace("/", "-") + ".json")
            earlier = json.loads(kept.read_text()) if kept.is_file() else {}
            if earlier.get("key") == state.hexdigest():
                results.append(earlier["findings"])
            else:
                analysed += len(members)
                results.append(pool.submit(analyse_and_keep, kept, state.hexdigest(), tidy, build, members, options))
        for result in results:
            for finding in result if isinstance(result, list) else result.result():
                if finding.splitlines()[0] not in printed:
                    printed.add(finding.splitlines()[0])
                    print(finding, flush=True)
    unchanged = len(files) - analysed
    print(f"clang-tidy: {len(printed)} findings in {len(files)} files; {unchanged} did not change since the last run")
    sys.exit(1 if printed else 0)


if __name__ == "__main__":
    main()
