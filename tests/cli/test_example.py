#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The programs of examples/, built with the tree: test_example.py CONVERT VMM IMPLICIT."""
import sys

from clitest import EXAMPLE_SAYS, Skip, check, check_status, main, run

CONVERT, VMM, IMPLICIT = sys.argv[1:4]
VMM_SAYS = """\
%s: 400 doorbells, 400 hypercalls, 400 memory faults
DMA: 400 pages mapped, 400 unmapped
leaks: 0 pages backed twice, 0 pins, 0 frames
"""


def converts():
    done = check_status(run(program=CONVERT), 0)
    check(done.out == EXAMPLE_SAYS and done.err == "", done)


def vmm_of_two_backings():
    done = check_status(run(program=VMM), 0)
    check(done.out == VMM_SAYS % "two backings" and done.err == "", done)


def vmm_in_place():
    done = run("--in-place", program=VMM)
    if done.err.startswith("mapping: "):
        raise Skip("no host mappings here")
    check_status(done, 0)
    check(done.out == VMM_SAYS % "in place" and done.err == "", done)


def refusals_change_nothing():
    out = check_status(run(program=IMPLICIT), 0).out
    check(out.count("at gpa 0x2000, because of vfio0\n") == 2, out)
    check("at gpa 0, because of vfio1\n" in out, out)
    check("all is shared as before" in out and "all is private as before" in out, out)


if __name__ == "__main__":
    sys.exit(main([("examples/convert.c", converts), ("examples/vmm.c", vmm_of_two_backings),
                   ("examples/vmm.c --in-place", vmm_in_place),
                   ("examples/implicit.c", refusals_change_nothing)]))
