#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""All C sources are as clang-format leaves them; --fix formats them."""
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys

import checklib

# Other versions break lines elsewhere.
VERSION = "14"


def differs(job):
    root, name = job
    done = subprocess.run(["clang-format", "--style=file", name], cwd=root, stdout=subprocess.PIPE,
                          check=True)
    with open(os.path.join(root, name), "rb") as f:
        ours = f.read().splitlines()
    theirs = done.stdout.splitlines()
    for number, (a, b) in enumerate(zip(ours, theirs), 1):
        if a != b:
            return "%s:%d: not as clang-format leaves it; run make fmt" % (name, number)
    if len(ours) != len(theirs):
        return "%s: not as clang-format leaves it; run make fmt" % name
    return None


def main():
    args = checklib.parse_args(__doc__, fix="format the files in place")
    names = checklib.c_files(args.root)
    have = ""
    if shutil.which("clang-format"):
        text = subprocess.run(["clang-format", "--version"], stdout=subprocess.PIPE, text=True)
        have = "".join(re.findall(r"version (\d+)\.", text.stdout))
    if args.fix:
        if have != VERSION:
            sys.exit("fmt: needs clang-format %s, found %s" % (VERSION, have or "none"))
        subprocess.run(["clang-format", "--style=file", "-i"] + names, cwd=args.root, check=True)
        return
    tap = checklib.Tap()
    if have != VERSION:
        tap.skip("C sources are formatted", "needs clang-format %s, found %s" %
                 (VERSION, have or "none"))
    else:
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            jobs = [(args.root, n) for n in names]
            tap.result("C sources are formatted", [p for p in pool.map(differs, jobs) if p])
    tap.end()


if __name__ == "__main__":
    main()
