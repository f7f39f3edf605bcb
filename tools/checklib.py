# SPDX-License-Identifier: Apache-2.0
"""What the static checks share: the list of files, C text without comments, and TAP output."""
import argparse
import os
import re
import subprocess
import sys

LITERAL = re.compile(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'')
COMMENT_OR_LITERAL = re.compile(r"/\*.*?\*/|//[^\n]*|" + LITERAL.pattern, re.DOTALL)


def parse_args(doc, **options):
    """--root DIR, and --name flags given as keyword=help."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--root", default=os.path.join(os.path.dirname(__file__), ".."),
                        help="tree to check (default: this one)")
    for name, text in options.items():
        parser.add_argument("--" + name, action="store_true", help=text)
    args = parser.parse_args()
    args.root = os.path.abspath(args.root)
    return args


def git(root, *args):
    """What git says about root, or None: no git, no repository, or not ours to read."""
    try:
        done = subprocess.run(["git", "-C", root, *args], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True)
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None


def all_files(root):
    """Paths of the project's files relative to root: what git tracks or would track."""
    listed = git(root, "ls-files", "-co", "--exclude-standard")
    top = git(root, "rev-parse", "--show-toplevel")
    # Only when root is the repository itself: an unpacked tarball may lie inside another one.
    if listed is not None and os.path.realpath((top or "").strip()) == os.path.realpath(root):
        names = listed.splitlines()
    else:
        names = [os.path.relpath(os.path.join(folder, name), root)
                 for folder, _, files in os.walk(root) for name in files]
        names = [n for n in names if not n.startswith(("build/", ".git/"))
                 and "__pycache__" not in n]
    return sorted(set(n for n in names if os.path.isfile(os.path.join(root, n))))


def c_files(root):
    return [n for n in all_files(root) if n.endswith((".c", ".h"))]


def read(root, name):
    with open(os.path.join(root, name), encoding="utf-8", errors="replace") as f:
        return f.read()


def is_test(name):
    """Test code: under tests/, or test_*.c and test_*.h beside the code."""
    return name.startswith("tests/") or os.path.basename(name).startswith("test_")


def blank(text, literals=True):
    """C text with comments (and literals) blanked out; line numbers and columns stay."""
    def spaces(match):
        if match.group(0)[0] in "\"'" and not literals:
            return match.group(0)
        return re.sub(r"[^\n]", " ", match.group(0))
    return COMMENT_OR_LITERAL.sub(spaces, text)


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def matching_paren(text, opening):
    """Index just past the parenthesis that closes the one at `opening`, or len(text)."""
    depth = 0
    for i in range(opening, len(text)):
        if text[i] == "(":
            depth += 1
        elif text[i] == ")":
            depth -= 1
            if depth == 0:
                return i + 1
    return len(text)


class Tap:
    """TAP output of one check program."""

    def __init__(self):
        self.count = 0
        self.failed = 0

    def result(self, name, problems):
        """One rule; it holds when `problems` is empty."""
        self.count += 1
        for problem in problems:
            print("# %s" % problem)
        if problems:
            self.failed += 1
            print("not ok %d - %s (%d)" % (self.count, name, len(problems)))
        else:
            print("ok %d - %s" % (self.count, name))

    def skip(self, name, why):
        self.count += 1
        print("ok %d - %s # SKIP %s" % (self.count, name, why))

    def end(self):
        print("1..%d" % self.count)
        sys.exit(1 if self.failed else 0)
