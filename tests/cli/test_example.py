#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""examples/convert.c, built with the tree: test_example.py PROGRAM."""
import sys

from clitest import EXAMPLE_SAYS, check, check_status, main, run


def converts():
    done = check_status(run(program=sys.argv[1]), 0)
    check(done.out == EXAMPLE_SAYS and done.err == "", done)


if __name__ == "__main__":
    sys.exit(main([("examples/convert.c", converts)]))
