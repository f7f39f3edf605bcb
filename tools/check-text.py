#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Rules about the text of files: licence lines, sizes, plain characters, calls that are not allowed."""
import os
import re

import checklib

FILE_LINES = 500
FUNCTION_LINES = 60
README_LINES = 20
LINE_COLUMNS = 100
NEEDS_SPDX = (".c", ".h", ".py", ".sh", ".map", "meson.build", "meson_options.txt", "Makefile",
              ".ci/run")
# Inputs of tests may hold anything.
NOT_TEXT = re.compile(r"^tests/fuzz/corpus/|\.(png|gz|bin)$")
UNLIMITED = re.compile(r"^(LICENSE|docs/.*|CHANGELOG\.md|tests/.*\.txt|litmus/.*)$")

DECISIONS = "docs/design/decisions.md"

# call, where it is allowed, why not elsewhere
BANNED = [
    (r"malloc|calloc|realloc|reallocarray|free|strdup|strndup|asprintf|vasprintf|aligned_alloc|"
     r"posix_memalign|memalign", r"^src/base/alloc|^src/(cli|explore)/|^(tests|bench|examples)/|/test_",
     "heap memory comes from clo_alloc, so that failing allocations can be tested"),
    (r"sleep|usleep|nanosleep|clock_nanosleep", r"^tests/harness/",
     "a sleep is no synchronisation"),
    (r"__atomic_\w+|__sync_\w+|atomic_\w+", r"^src/(sync|base)/|^tests/harness/",
     "atomics go through sync"),
    (r"strcpy|strcat|sprintf|vsprintf|gets|strtok|atoi|atol|alloca", r"^$",
     "unbounded or without error"),
]


def spdx(root, names):
    return ["%s: no SPDX-License-Identifier in its first three lines" % n for n in names
            if n.endswith(NEEDS_SPDX) and "SPDX-License-Identifier: Apache-2.0" not in
            "\n".join(checklib.read(root, n).splitlines()[:3])]


def sizes(root, names):
    problems = []
    for name in names:
        lines = checklib.read(root, name).count("\n")
        if name.endswith((".c", ".h", ".py", ".sh")) and lines >= FILE_LINES:
            problems.append("%s: %d lines, the limit is below %d" % (name, lines, FILE_LINES))
        if re.match(r"^src/\w+/README\.md$", name) and lines > README_LINES:
            problems.append("%s: %d lines, the limit is %d" % (name, lines, README_LINES))
    return problems


def characters(root, names):
    problems = []
    for name in names:
        text = checklib.read(root, name)
        for number, line in enumerate(text.split("\n"), 1):
            where = "%s:%d: " % (name, number)
            if line != line.rstrip():
                problems.append(where + "white space at the end")
            if not line.isascii():
                problems.append(where + "a character that is not ASCII")
            width = len(line.expandtabs(8))
            if width > LINE_COLUMNS and name.endswith((".c", ".h")):
                problems.append(where + "%d columns, the limit is %d" % (width, LINE_COLUMNS))
        if text and not text.endswith("\n"):
            problems.append("%s: no newline at the end" % name)
        if text.endswith("\n\n"):
            problems.append("%s: empty lines at the end" % name)
    return problems


def long_functions(root, names):
    """A function body is what stands between { and } in the first column."""
    problems = []
    for name in names:
        start = None
        lines = checklib.read(root, name).splitlines()
        for number, line in enumerate(lines, 1):
            if line == "{":
                start = number
            elif line.startswith("}") and start:
                if number - start - 1 > FUNCTION_LINES:
                    problems.append("%s:%d: a function of %d lines, the limit is %d" %
                                    (name, start, number - start - 1, FUNCTION_LINES))
                start = None
    return problems


def banned_calls(root, names):
    problems = []
    for name in names:
        text = checklib.blank(checklib.read(root, name))
        for calls, allowed, why in BANNED:
            if re.search(allowed, name):
                continue
            for match in re.finditer(r"(?<![\w.>])(%s)[ \t]*\(" % calls, text):
                problems.append("%s:%d: %s(): %s" % (
                    name, checklib.line_of(text, match.start()), match.group(1), why))
    return problems


def citations(root, names):
    """What a comment or a document cites is in the repository."""
    decisions = set()
    if os.path.exists(os.path.join(root, DECISIONS)):
        decisions = set(re.findall(r"^\*\*(D\d+)\.", checklib.read(root, DECISIONS), re.MULTILINE))
    problems = []
    for name in names:
        text = checklib.read(root, name)
        for match in re.finditer(r"\bfacts/|\bfacts:|\bD\d+\b|\bdocs/[\w/-]+\.\w+", text):
            cited = match.group(0)
            if cited.startswith("facts"):
                known = False
            elif cited.startswith("docs/"):
                known = os.path.exists(os.path.join(root, cited))
            else:
                known = cited in decisions
            if not known:
                problems.append("%s:%d: cites %s, which is not here" %
                                (name, checklib.line_of(text, match.start()), cited))
    return problems


def missing_readmes(root, names):
    modules = set(n.split("/")[1] for n in names if re.match(r"^src/\w+/\w+\.c$", n))
    return ["src/%s: no README.md" % m for m in sorted(modules)
            if not os.path.exists(os.path.join(root, "src", m, "README.md"))]


def main():
    root = checklib.parse_args(__doc__).root
    names = [n for n in checklib.all_files(root) if not NOT_TEXT.search(n)]
    code = [n for n in names if n.endswith((".c", ".h"))]
    tap = checklib.Tap()
    tap.result("each source has its SPDX line", spdx(root, names))
    tap.result("files are short", sizes(root, [n for n in names if not UNLIMITED.match(n)]))
    tap.result("plain characters, no stray white space",
               characters(root, [n for n in names if n != "LICENSE"]))
    tap.result("functions are short", long_functions(root, code))
    tap.result("no call that has its own wrapper, or no bound", banned_calls(root, code))
    tap.result("each module explains itself", missing_readmes(root, names))
    tap.result("what is cited is here", citations(root, [
        n for n in names if n.endswith((".c", ".h", ".md")) and n != "CHANGELOG.md"]))
    tap.end()


if __name__ == "__main__":
    main()
