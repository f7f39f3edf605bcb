#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The public side: the header in each language that may include it, a consumer against the shared
library, and what that library exports.

Usage: test_public.py INCLUDE_DIR LIBRARY CONSUMER.c UNLOAD.c test_fork.c  (CC and CXX choose the compilers)
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

INCLUDE, LIBRARY, CONSUMER, UNLOAD, FORK_TEST = sys.argv[1:6]
# Not -Wshadow: g++ means by it also a function with the name of a struct, as in stat(2).
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Wconversion"]
SANITIZER = os.environ.get("CLO_SANITIZE", "none")
number = 0
failures = 0


def result(name, problem="", skip=""):
    global number, failures
    number += 1
    for line in problem.splitlines():
        print("# " + line)
    failures += bool(problem)
    print("%sok %d - %s%s" % ("not " if problem else "", number, name, " # SKIP " + skip if skip else ""))


def run(*command, **kw):
    """Its output when it fails, else nothing."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **kw)
    return "%s\n%s" % (" ".join(command), done.stdout) if done.returncode else ""


def compiler(variable, names):
    for name in [os.environ.get(variable, "")] + names:
        if name and shutil.which(name.split()[0]):
            return name.split()
    return None


def header_compiles(folder):
    for language, standards, names in (("c", ("c11", "c17"), ["cc", "gcc", "clang"]),
                                       ("c++", ("c++17", "c++20"), ["c++", "g++", "clang++"])):
        found = compiler("CC" if language == "c" else "CXX", names)
        source = os.path.join(folder, "header." + ("c" if language == "c" else "cpp"))
        with open(source, "w", encoding="utf-8") as out:
            # Twice: the guard. In a function, so that the file is not empty.
            out.write("#include <cloister/cloister.h>\n#include <cloister/cloister.h>\n"
                      "int main() { return clo_version() == 0; }\n".replace(
                          "main()", "main(void)" if language == "c" else "main()"))
        for standard in standards:
            name = "the header as " + standard
            if not found:
                result(name, skip="no compiler for " + language)
                continue
            result(name, run(*found, "-std=" + standard, "-fsyntax-only", "-I", INCLUDE, *WARNINGS,
                             source))


def consumer_runs(folder):
    if SANITIZER != "none":
        result("a consumer of the shared library", skip="the library is built with a sanitizer")
        return
    library = os.path.dirname(os.path.abspath(LIBRARY))
    for language, names in (("c", ["cc", "gcc", "clang"]), ("c++", ["c++", "g++", "clang++"])):
        name = "a consumer in %s runs on the shared library" % language
        found = compiler("CC" if language == "c" else "CXX", names)
        program = os.path.join(folder, "consumer-" + language)
        if not found:
            result(name, skip="no compiler for " + language)
            continue
        flags = ["-x", language, CONSUMER, "-x", "none", "-std=" + ("c17" if language == "c" else "c++17")]
        problem = run(*found, *WARNINGS, "-I", INCLUDE, *flags, "-o", program,
                      os.path.abspath(LIBRARY), "-Wl,-rpath," + library)
        result(name, problem or run(program, timeout=60))


def functions():
    """(name, struct that its first parameter points to or "") of each public function."""
    found = []
    folder = os.path.join(INCLUDE, "cloister")
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name), encoding="utf-8") as header:
            found += re.findall(r"^CLO_API [^;(]*?\b(clo_\w+)\((?:const )?(?:struct (\w+) \*)?",
                                header.read(), re.MULTILINE)
    return found


def names_say_their_object():
    """Called after the object that it gets, or after the one that it makes."""
    names = functions()
    wrong = ["%s(struct %s *)" % (n, s) for n, s in names if s and not n.startswith(s + "_")
             and not n.endswith("_create")
             and (n, s) != ("clo_gmem_unpin", "clo_gmem_pin")]  # the pair of clo_gmem_pin()
    result("functions are called after their object", "\n".join(wrong) if names else "no functions")


def children_are_thought_of():
    """What a child of fork() gets from each function is in the test of fork()."""
    with open(FORK_TEST, encoding="utf-8") as test:
        called = set(re.findall(r"\b(clo_\w+)\(", test.read().partition("\nstatic void in_a_child(")[0]))
    missing = [n for n, _ in functions() if n not in called]
    result("each function is called in a child of fork()", "\n".join(missing) if called else "no calls")


def unload_is_harmless(folder):
    name = "a thread outlives the plugin that used the library"
    found = compiler("CC", ["cc", "gcc", "clang"])
    program = os.path.join(folder, "unload")
    if SANITIZER != "none" or not found:
        result(name, skip="the library is built with a sanitizer" if found else "no compiler")
        return
    problem = run(*found, *WARNINGS, "-std=gnu17", "-I", INCLUDE, UNLOAD, "-o", program, "-pthread", "-ldl")
    result(name, problem or run(program, os.path.abspath(LIBRARY), timeout=60))


def exports():
    nm = shutil.which("nm")
    if not nm:
        result("only clo_ symbols are exported", skip="no nm")
        return
    listing = subprocess.run([nm, "-D", "--defined-only", LIBRARY], check=True, text=True,
                             stdout=subprocess.PIPE).stdout
    symbols = set(line.split()[-1].split("@")[0] for line in listing.splitlines())
    declared = set(name for name, _ in functions())
    symbols = set(s for s in symbols if not s.startswith("CLOISTER_"))
    foreign = sorted(s for s in symbols if not s.startswith("clo_"))
    result("only clo_ symbols are exported", "\n".join(foreign))
    result("what the header declares is exported", "\n".join(sorted(declared - symbols)))
    result("nothing else is exported", "\n".join(sorted(symbols - declared - set(foreign))))


with tempfile.TemporaryDirectory() as scratch:
    header_compiles(scratch)
    consumer_runs(scratch)
    unload_is_harmless(scratch)
names_say_their_object()
children_are_thought_of()
exports()
print("1..%d" % number)
sys.exit(1 if failures else 0)
