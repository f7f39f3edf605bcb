#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Build and test Cloister in one or more ways; the last line is "N passed, N failed, N skipped".

Usage: tools/run-tests.py STAGE...      stages: gcc asan tsan clang cov static
Each stage has its own directory under build/. What is counted are the single tests inside each test
program (TAP). The exit status is 0 only when nothing failed.
"""
import collections
import json
import os
import re
import shutil
import subprocess
import sys
import time

Stage = collections.namedtuple("Stage", "what cc options suite")
STAGES = {
    "gcc": Stage("all tests and static checks, gcc", "gcc", [], None),
    "asan": Stage("all tests under ASan and UBSan, gcc", "gcc",
                  ["-Db_sanitize=address,undefined"], "!static"),
    "tsan": Stage("threaded tests under TSan, gcc", "gcc", ["-Db_sanitize=thread"], "threads"),
    # What the explorer finds does not depend on the compiler, and takes half of the time.
    "clang": Stage("all tests but the explored ones, clang", "clang", [], "!static !explore"),
    "cov": Stage("all tests with coverage counters, gcc", "gcc", ["-Db_coverage=true"], "!static"),
    "static": Stage("static checks", "gcc", [], "static"),
}
PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"
TAP_LINE = re.compile(r"^(not )?ok\b[ \d]*(?:- )?(.*)$")
SHOWN_LINES = 120


def count_tap(text):
    """Counts of one program's TAP output, and the reasons of its skips."""
    counts = collections.Counter()
    reasons = []
    for line in text.splitlines():
        match = TAP_LINE.match(line)
        if not match:
            continue
        skip = re.search(r"#\s*SKIP\s*(.*)", line, re.IGNORECASE)
        if match.group(1):
            counts[FAILED] += 1
        elif skip:
            counts[SKIPPED] += 1
            reasons.append(skip.group(1).strip() or "no reason given")
        else:
            counts[PASSED] += 1
    return counts, reasons


def count_log(log_path):
    """Sums a meson testlog.json; returns counts, skip reasons, failed programs."""
    counts = collections.Counter()
    reasons = collections.Counter()
    failed = []
    with open(log_path, encoding="utf-8") as log:
        for line in log:
            test = json.loads(line)
            tap, why = count_tap(test.get("stdout") or "")
            reasons.update(why)
            good = test["result"] in ("OK", "SKIP", "EXPECTEDFAIL")
            if not good and not tap[FAILED]:
                tap[FAILED] += 1  # it died, or ran out of time, between two tests
            elif good and not tap:
                tap[SKIPPED] += 1  # a program without a test to run
                reasons["%s: nothing to run" % test["name"]] += 1
            counts.update(tap)
            if not good:
                failed.append(test)
    return counts, reasons, failed


def show_failure(test):
    print("---- %s: %s (status %s)" % (test["name"], test["result"], test.get("returncode")))
    for stream in ("stdout", "stderr"):
        lines = (test.get(stream) or "").splitlines()
        if len(lines) > SHOWN_LINES:
            print("... %d lines left out ..." % (len(lines) - SHOWN_LINES))
        print("\n".join(lines[-SHOWN_LINES:]))


def selected_tests(build, suite):
    """The tests of a stage: (meson's arguments, ninja targets needed)."""
    text = subprocess.run(["meson", "introspect", build, "--tests"], check=True,
                          stdout=subprocess.PIPE).stdout
    args = []
    for word in (suite or "").split():
        args += ["--no-suite", word[1:]] if word[0] == "!" else ["--suite", word]
    needed = set()
    for test in json.loads(text):
        names = [s.split(":")[-1] for s in test["suite"]]
        if any((word[0] == "!") == (word.lstrip("!") in names) for word in (suite or "").split()):
            continue
        needed.update(test["depends"])  # its program, and what it is given or starts by name
    text = subprocess.run(["meson", "introspect", build, "--targets"], check=True,
                          stdout=subprocess.PIPE).stdout
    targets = {os.path.relpath(target["filename"][0], os.path.abspath(build))
               for target in json.loads(text) if target["id"] in needed}
    return args, sorted(targets)


def run_logged(args, env=None):
    """Runs a command quietly; on failure shows what it said. True on success."""
    done = subprocess.run(args, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace")
    if done.returncode:
        print("\n".join(done.stdout.splitlines()[-SHOWN_LINES:]))
        print("---- failed: %s" % " ".join(args))
    return done.returncode == 0


def build_stage(stage, build, whole):
    """Configures and builds; returns meson test arguments, or None when it failed."""
    env = dict(os.environ, CC=stage.cc)
    if not run_logged(["tools/setup.sh", build] + stage.options, env):
        return None
    # The list of tests is only as new as build.ninja.
    if not run_logged(["ninja", "-C", build, "build.ninja"]):
        return None
    args, targets = selected_tests(build, stage.suite)
    if not run_logged(["ninja", "-C", build] + ([] if whole else targets)):
        return None
    return args


def can_fix_addresses():
    """Is `setarch -R` there and permitted? Containers often refuse it."""
    return shutil.which("setarch") and subprocess.run(
        ["setarch", "-R", "true"], stderr=subprocess.DEVNULL).returncode == 0


def test_command(name, build, args):
    """The meson command of a stage, and the log that it will write."""
    command = ["meson", "test", "-C", build, "--no-rebuild"] + args
    log = "testlog.json"
    if name == "tsan" and can_fix_addresses():
        # gcc 12's TSan cannot place its shadow when addresses are randomised by 32 bits.
        command += ["--wrapper", "setarch -R"]
        log = "testlog-setarch.json"
    return command, os.path.join(build, "meson-logs", log)


def run_meson(command):
    """Runs meson test, showing one line a test program."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace", bufsize=1) as process:
        said = []
        for line in process.stdout:
            said.append(line)
            if re.match(r"\s*\d+/\d+ ", line):
                print("  " + line.strip(), flush=True)
    return process.returncode, said


def run_stage(name, number, of):
    """Returns the counts of one stage; a stage that does not build is one failure."""
    stage = STAGES[name]
    build = "build/" + ("gcc" if name == "static" else name)
    print("[%d/%d] %s: %s" % (number, of, name, stage.what), flush=True)
    start = time.monotonic()
    # The gcc stage builds everything, so what no test uses compiles too.
    args = build_stage(stage, build, whole=name in ("gcc", "clang"))
    if args is None:
        return collections.Counter({FAILED: 1})
    built = time.monotonic()
    command, log = test_command(name, build, args)
    if os.path.exists(log):
        os.remove(log)
    status, said = run_meson(command)
    if not os.path.exists(log):
        print("".join(said[-SHOWN_LINES:]))
        return collections.Counter({FAILED: 1})
    counts, reasons, failed = count_log(log)
    for test in failed:
        show_failure(test)
    if status and not counts[FAILED]:
        print("".join(said[-SHOWN_LINES:]))
        counts[FAILED] += 1
    for reason, times in sorted(reasons.items()):
        print("  skipped %d: %s" % (times, reason))
    print("[%d/%d] %s: %d passed, %d failed, %d skipped; built in %.0f s, ran in %.0f s" %
          (number, of, name, counts[PASSED], counts[FAILED], counts[SKIPPED], built - start,
           time.monotonic() - built), flush=True)
    return counts


def main():
    names = sys.argv[1:]
    unknown = [n for n in names if n not in STAGES]
    if not names or unknown:
        print(__doc__, file=sys.stderr)
        return 2
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    start = time.monotonic()
    total = collections.Counter()
    for i, name in enumerate(names, 1):
        total.update(run_stage(name, i, len(names)))
    print("took %.0f s" % (time.monotonic() - start))
    print("%d passed, %d failed, %d skipped" % (total[PASSED], total[FAILED], total[SKIPPED]))
    return 1 if total[FAILED] or not total[PASSED] else 0


if __name__ == "__main__":
    sys.exit(main())
