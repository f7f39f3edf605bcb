#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each header compiles alone: with gcc and clang, for each build of sync; public headers also as C++."""
import concurrent.futures
import os
import shutil
import subprocess

import checklib

C = ["-std=c17", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
CXX = ["-std=c++11", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
BUILDS = {
    "product": [],
    "test": ["-DCLO_TEST=1"],
    "explore": ["-DCLO_TEST=1", "-DCLO_SYNC_EXPLORE=1"],
}
# Headers of one build of sync only; the other build is expected to leave them out.
ONE_BUILD = {"src/sync/sync_threads.h": ("product", "test"),
             "src/cli/explore_main.h": ("explore",),
             "src/view/view_scene.h": ("explore",)}


def builds_of(name):
    if name in ONE_BUILD:
        return ONE_BUILD[name]
    base = os.path.basename(name)
    if name.startswith("src/sync/") and base != "sync.h":
        return ("explore",)
    if name.startswith("src/explore/"):
        return ("explore",)
    if checklib.is_test(name) or name.endswith("_test.h"):
        return ("test", "explore")  # what only test builds declare may be used
    return tuple(BUILDS)


def compile_one(job):
    root, compiler, language, flags, name = job
    # Included twice: the guard must work. A function of its own keeps the unit from being empty.
    text = '#include "%s"\n' % os.path.join(root, name) * 2 + "int alone;\n"
    command = [compiler, "-x", language, "-fsyntax-only", "-I", os.path.join(root, "include"),
               "-I", os.path.join(root, "src"), "-I", os.path.join(root, "tests")] + flags + ["-"]
    done = subprocess.run(command, input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace")
    if done.returncode == 0:
        return None
    return "%s: %s %s: %s" % (name, compiler, " ".join(flags[6:]), done.stdout.strip()[:600])


def run(tap, title, compiler, jobs):
    if not shutil.which(compiler):
        tap.skip(title, compiler + " is not installed")
        return
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        problems = [p.replace("\n", "\n# ") for p in pool.map(compile_one, jobs) if p]
    tap.result(title, problems)


def main():
    root = checklib.parse_args(__doc__).root
    headers = [n for n in checklib.c_files(root) if n.endswith(".h")]
    public = [n for n in headers if n.startswith("include/")]
    tap = checklib.Tap()
    for compiler in ("gcc", "clang"):
        jobs = [(root, compiler, "c", C + BUILDS[b], n) for n in headers for b in builds_of(n)]
        run(tap, "each header compiles alone with " + compiler, compiler, jobs)
    for compiler in ("g++", "clang++"):
        jobs = [(root, compiler, "c++", CXX, n) for n in public]
        run(tap, "public headers compile as C++ with " + compiler, compiler, jobs)
    tap.end()


if __name__ == "__main__":
    main()
