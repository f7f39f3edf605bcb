#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each file of litmus/ holds, in every interleaving and on threads; --quick: with fewer preemptions."""
import os
import re
import sys

from clitest import ROOT, check, check_says, check_status, litmus, litmus_files, main, run

QUICK = "--quick" in sys.argv[1:]
BOUNDS = os.path.join(ROOT, "tests", "litmus", "bounds.txt")
RUNS = 200


def bounds():
    """File to preemptions: so deep do the tests of the engine explore, those of the command less."""
    with open(BOUNDS, encoding="utf-8") as f:
        rows = [line.split() for line in f if not line.startswith("#")]
    return {name: int(preemptions) for name, preemptions, _ in rows}


def text_of(name):
    with open(litmus(name), encoding="utf-8") as f:
        return f.read()


def explored(name):
    def test():
        bound = min(1, bounds()[name])
        # What a file says happens sometimes may need a preemption to be seen.
        if QUICK and not re.search(r"^sometimes", text_of(name), re.MULTILINE):
            bound = 0
        done = check_status(run("explore", "--preemptions", str(bound), litmus(name)), 0)
        check(re.search(r"^  holds( if fair\n  left out: \d+ .*)?$", done.out, re.MULTILINE), done)
        print("# %s" % done.out.splitlines()[1].strip())
    return test


def on_threads(name):
    def test():
        done = check_status(run("run", "--times", RUNS, litmus(name)), 0)
        check_says(done.out, "%d runs on threads" % RUNS, "\n  holds\n")
        counts = re.findall(r"^ +(\d+)  ", done.out, re.MULTILINE)
        check(sum(int(n) for n in counts) == RUNS, done)
    return test


def each_file_is_listed():
    check(set(bounds()) == set(litmus_files()), sorted(set(bounds()) ^ set(litmus_files())))


if __name__ == "__main__":
    sys.exit(main([("bounds.txt has each file", each_file_is_listed)] +
                  [("explore " + n, explored(n)) for n in litmus_files()] +
                  [("run " + n, on_threads(n)) for n in litmus_files()]))
