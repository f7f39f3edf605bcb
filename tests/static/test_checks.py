#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each static check, run on a small tree: it passes the good tree and finds each fault put into it."""
import os
import subprocess
import sys
import tempfile

TOOLS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools")
SPDX = "/* SPDX-License-Identifier: Apache-2.0 */\n"


def header(guard, body):
    return SPDX + "#ifndef %s\n#define %s\n%s#endif\n" % (guard, guard, body)


# The good tree: two modules of the order base, sync, page.
GOOD = {
    "src/meson.build": "# SPDX-License-Identifier: Apache-2.0\n"
                       "modules = [\n  'base', 'sync', 'page',\n]\n",
    "src/base/base.h": header("A", "int clo_base(void); /* -EINVAL: always */\n"),
    "src/base/base.c": SPDX + '#include "base/base.h"\n\nint clo_base(void)\n{\n\treturn -22;\n}\n',
    "src/base/README.md": "# base\n",
    "src/base/test_base.c": SPDX + '#include "base/base.h"\n\nTEST(base)\n{\n'
                                   "\tCHECK_ERR(clo_base(), -EINVAL);\n}\n",
    "src/page/page.h": header("B", '#include "base/base.h"\n\nint clo_page(void);\n'),
    "src/page/page_in.h": header("C", "int clo_page_in(void);\n"),
    "src/page/page.c": SPDX + '#include "page/page.h"\n\n#include "page/page_in.h"\n\n'
                              "int clo_page(void)\n{\n\treturn 0;\n}\n",
    "src/page/README.md": "# page\n",
    "include/cloister/cloister.h": header("D", "#include <stddef.h>\n\nsize_t clo_d(void);\n"),
    ".clang-format": open(os.path.join(TOOLS, "..", ".clang-format")).read(),
}

LONG_FUNCTION = SPDX + "int f(void)\n{\n" + "\tg();\n" * 61 + "}\n"


def errno_test(body):
    return {"src/base/test_base.c": SPDX + body}


# check, what it must say (None: it must pass), the change of the good tree
CASES = [
    ("includes", "comes later", {"src/base/bad.c": SPDX + '#include "page/page.h"\n'}),
    ("includes", "is private to module page",
     {"tests/x/bad.c": SPDX + '#include "page/page_in.h"\n'}),
    ("includes", "belongs to module sync", {"src/page/bad.c": SPDX + "#include <pthread.h>\n"}),
    ("includes", "belongs to module sync", {"src/page/bad.c": SPDX + "#include <urcu-bp.h>\n"}),
    ("includes", None, {"src/sync/sync.h": header("S", "#include <pthread.h>\n")}),
    ("includes", None, {"src/page/ok.c": SPDX + "/* #include <pthread.h> */\n"}),
    ("includes", "page_in.h -> src/page/page_x.h -> src/page/page_in.h",
     {"src/page/page_in.h": header("C", '#include "page/page_x.h"\n'),
      "src/page/page_x.h": header("X", '#include "page_in.h"\n')}),
    ("includes", "is not in src/meson.build", {"src/odd/odd.c": SPDX}),
    ("includes", "has no header sync.h", {"src/sync/other.h": header("S", "")}),
    ("includes", "is in no module", {"src/page/bad.c": SPDX + '#include "odd/odd.h"\n'}),
    ("includes", "a public header includes only libc",
     {"include/cloister/cloister.h": header("D", '#include "base/base.h"\n')}),
    ("headers", "unknown type name", {"src/page/page_in.h": header("C", "size_t clo_x(void);\n")}),
    ("headers", "redefinition", {"src/page/page_in.h": SPDX + "struct clo_x {\n\tint a;\n};\n"}),
    ("headers", None, {"src/page/page_test.h": header("T", "#ifndef CLO_TEST\n#error x\n#endif\n")}),
    ("headers", "error x", {"src/page/page_in.h": header("C", "#ifndef CLO_TEST\n#error x\n#endif\n")}),
    ("headers", "not ok 3", {"include/cloister/cloister.h": header("D", "int clo_x(int class);\n")}),
    ("text", "no SPDX", {"src/page/bad.c": "int clo_x;\n"}),
    ("text", "501 lines", {"src/page/bad.c": SPDX + "\n" * 499 + "int x;\n"}),
    ("text", "white space at the end", {"src/page/bad.c": SPDX + "int x; \n"}),
    ("text", "not ASCII", {"src/page/bad.c": SPDX + "/* \u00e9 */\n"}),
    ("text", "101 columns", {"src/page/bad.c": SPDX + "/*" + "x" * 97 + "*/\n"}),
    ("text", "no newline", {"src/page/bad.c": SPDX + "int x;"}),
    ("text", "function of 61 lines", {"src/page/bad.c": LONG_FUNCTION}),
    ("text", "malloc()", {"src/page/bad.c": SPDX + "int f(void)\n{\n\tmalloc(1);\n}\n"}),
    ("text", "usleep()", {"src/page/test_b.c": SPDX + "int f(void)\n{\n\tusleep(1);\n}\n"}),
    ("text", None, {"src/page/ok.c": SPDX + "/* malloc(1) */\nint x = clo_free(1), y = p->free(1);\n"}),
    ("text", "cites D2", {"src/page/bad.c": SPDX + "/* D1, D2 */\n",
                         "docs/design/decisions.md": "**D1. One.** Text.\n"}),
    ("text", None, {"src/page/ok.c": SPDX + "/* D1: docs/design/decisions.md */\n",
                    "docs/design/decisions.md": "**D1. One.** Text.\n"}),
    ("text", "cites facts/", {"src/page/bad.c": SPDX + "/* facts/kvm.md 2 */\n"}),
    ("text", "cites docs/no.md", {"src/page/bad.c": SPDX + "/* docs/no.md */\n"}),
    ("text", "no README.md", {"src/page/README.md": None}),
    ("text", "21 lines", {"src/page/README.md": "x\n" * 21}),
    ("format", "bad.c:2", {"src/page/bad.c": SPDX + "int  x;\n"}),
    ("errno", "no test gets -EINVAL from clo_base", {"src/base/test_base.c": None}),
    ("errno", "no test gets -EINVAL",
     errno_test("TEST(a)\n{\n\tCHECK_ERR(clo_other(), -EINVAL);\n}\n")),
    ("errno", "no test gets -EINVAL",
     errno_test("TEST(a)\n{\n\t/* CHECK_ERR(clo_base(), -EINVAL); */\n}\n")),
    ("errno", None,
     errno_test("TEST(a)\n{\n\tint rc = clo_base();\n\n\tCHECK_ERR(rc, -EINVAL);\n}\n")),
    ("errno", None,
     errno_test("static int go(void)\n{\n\treturn clo_base();\n}\n\n"
                "TEST(a)\n{\n\tCHECK_ERR(go(), -EINVAL);\n}\n")),
    ("errno", None,
     errno_test("static const int rows[] = {\n\t-EINVAL,\n};\n\n"
                "TEST(a)\n{\n\tCHECK_ERR(clo_base(), rows[0]);\n}\n")),
    ("errno", None,
     errno_test("/* errno: clo_base -EINVAL: in run() */\nstatic void run(void)\n{\n"
                "\tif (clo_base() != -EINVAL)\n\t\tfail();\n}\n")),
    ("errno", "has no such call",
     errno_test("/* errno: clo_base -EINVAL */\nTEST(a)\n{\n\tCHECK(1);\n}\n")),
    ("errno", None, {"src/base/test_base.c": None,
                     "tools/errno-allow.txt": "clo_base -EINVAL nothing gives it\n"}),
    ("errno", "needs no exception", {"tools/errno-allow.txt": "clo_base -EINVAL no reason\n"}),
    ("errno", "wanted: function", {"tools/errno-allow.txt": "clo_base -EINVAL\n"}),
]


def make_tree(root, changes):
    for name, text in dict(GOOD, **changes).items():
        if text is None:
            continue
        path = os.path.join(root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)


def run_check(check, changes):
    with tempfile.TemporaryDirectory() as root:
        make_tree(root, changes)
        return subprocess.run([sys.executable, os.path.join(TOOLS, "check-%s.py" % check),
                               "--root", root], stdout=subprocess.PIPE, text=True,
                              stderr=subprocess.STDOUT)


def verdict(done, expected):
    """What is wrong with a check's answer, or None."""
    if expected is None:
        return None if done.returncode == 0 else "fails a good tree"
    if done.returncode == 0:
        return "passes a bad tree"
    return None if expected in done.stdout else "does not say '%s'" % expected


def main():
    cases = [(c, None, {}) for c in ("includes", "headers", "text", "format", "errno")] + CASES
    print("1..%d" % len(cases))
    failed = 0
    for number, (check, expected, changes) in enumerate(cases, 1):
        done = run_check(check, changes)
        wrong = verdict(done, expected)
        if "# SKIP" in done.stdout and wrong:
            print("ok %d - %s # SKIP a tool is not installed" % (number, check))
        elif wrong:
            failed += 1
            print("# %s: %s" % (wrong, done.stdout.replace("\n", "\n# ")))
            print("not ok %d - %s: %s" % (number, check, expected or "passes"))
        else:
            print("ok %d - %s: %s" % (number, check, expected or "passes"))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
