#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each file of litmus/ holds, in every interleaving and on threads; --quick: with fewer preemptions."""
import re
import sys

from clitest import check, check_says, check_status, litmus, litmus_files, main, run

QUICK = "--quick" in sys.argv[1:]
# With the default of two preemptions these take more than 5 s.
SLOW = {"close-vs-convert", "close-vs-convert-backings", "close-vs-slot-delete",
        "convert-refused", "convert-refused-missing", "convert-refused-zero",
        "convert-vs-convert", "convert-vs-slot", "fault-vs-punch", "fault-vs-slot-delete",
        "host-touch-vs-punch", "hypercall", "in-place-preserved", "mail0-slot-moves-file", "mail3-both-convert",
        "pre-fault-vs-convert", "pre-fault-vs-slot-delete", "punch-vs-convert",
        "slot-delete-vs-punch", "slot-delete-vs-punch-beside", "taken-back", "taken-back-undone",
        "two-backings-again",
        "two-backings-vs-slot", "wait-for-listener", "wait-holds-nothing", "zero-policy",
        "zero-policy-vs-host"}
# Without a preemption this does not show what it says happens sometimes.
NEEDS_ONE = {"mail3-both-convert"}
RUNS = 200


def explored(name):
    def test():
        bound = max(2 - QUICK - (name in SLOW), int(name in NEEDS_ONE))
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


def slow_files_are_there():
    check(SLOW <= set(litmus_files()), sorted(SLOW - set(litmus_files())))


if __name__ == "__main__":
    sys.exit(main([("the list of slow files is true", slow_files_are_there)] +
                  [("explore " + n, explored(n)) for n in litmus_files()] +
                  [("run " + n, on_threads(n)) for n in litmus_files()]))
