#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The include graph: modules in their order, each reached through its one header, no cycles.

The order of the modules is the list in src/meson.build. A module may include its own headers, the one
header <module>/<module>.h of earlier modules, and the public header. Test code beside a module obeys the
same order; what lies under tests/, bench/ and examples/ may use any module, through its one header.
"""
import os
import re

import checklib

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]', re.MULTILINE)
SYNC_ONLY = re.compile(r"^(pthread\.h|stdatomic\.h|threads\.h|semaphore\.h|urcu(/.*|-.*|\.h)|"
                       r"linux/futex\.h|ucontext\.h)$")
PUBLIC = "cloister/cloister.h"


def module_order(root):
    text = checklib.read(root, "src/meson.build")
    match = re.search(r"^modules = \[(.*?)\]", text, re.DOTALL | re.MULTILINE)
    return re.findall(r"'(\w+)'", match.group(1))


def includes(root, name):
    """(line, quoted, target) of each include; comments do not count."""
    text = checklib.blank(checklib.read(root, name), literals=False)
    return [(checklib.line_of(text, m.start()), m.group(1) == '"', m.group(2))
            for m in INCLUDE.finditer(text)]


def module_of(name):
    parts = name.split("/")
    return parts[1] if parts[0] == "src" and len(parts) > 2 else None


def target_module(target, own, order):
    """The module that an include names, or None for what is no module."""
    folder = target.split("/")[0] if "/" in target else own
    return folder if folder in order else None


def order_problem(own, target, quoted, order):
    module = target_module(target, own, order)
    if target == PUBLIC or not quoted or target.startswith("harness/"):
        return None
    if module is None:
        return '"%s" is in no module of the list' % target
    if own is None:
        return None
    if order.index(module) > order.index(own):
        return 'module %s must not include "%s": %s comes later' % (own, target, module)
    return None


def one_header_problem(own, target, quoted, order):
    module = target_module(target, own, order)
    if not quoted or module is None or module == own:
        return None
    # A technology is a folder of module trust, with one header as a module has.
    folder = os.path.basename(os.path.dirname(target))
    if target not in ("%s/%s.h" % (module, module), "%s/%s/%s.h" % (module, folder, folder)):
        return '"%s" is private to module %s: use "%s/%s.h"' % (target, module, module, module)
    return None


def find_cycles(graph):
    """Cycles among headers, each once, as lists of names."""
    cycles = []
    done = set()

    def visit(node, path):
        if node in path:
            cycles.append(path[path.index(node):] + [node])
            return
        if node in done:
            return
        for other in graph.get(node, ()):
            visit(other, path + [node])
        done.add(node)

    for node in sorted(graph):
        visit(node, [])
    return cycles


def resolve(name, target, headers):
    """The project's file that an include of `name` means, or None."""
    for candidate in (os.path.join(os.path.dirname(name), target), "src/" + target,
                      "include/" + target, "tests/" + target, target):
        candidate = os.path.normpath(candidate)
        if candidate in headers:
            return candidate
    return None


def main():
    root = checklib.parse_args(__doc__).root
    order = module_order(root)
    files = checklib.c_files(root)
    headers = set(n for n in files if n.endswith(".h"))
    problems = {"order": [], "one": [], "banned": [], "folder": [], "public": []}
    graph = {}
    for name in files:
        own = module_of(name)
        if own is not None and own not in order:
            problems["folder"].append("%s: module %s is not in src/meson.build" % (name, own))
            continue
        for line, quoted, target in includes(root, name):
            where = "%s:%d: " % (name, line)
            if own is not None or name.startswith(("tests/", "bench/", "examples/")):
                for key, check in (("order", order_problem), ("one", one_header_problem)):
                    if own is None and not target.split("/")[0] in order:
                        continue  # a header beside it
                    found = check(own, target, quoted, order)
                    if found:
                        problems[key].append(where + found)
            # An example is a program of a user's, who has threads of his own; so is tests/public.
            if SYNC_ONLY.match(target) and own != "sync" and \
               not name.startswith(("tests/harness/", "tests/public/", "examples/")):
                problems["banned"].append(where + "<%s> belongs to module sync" % target)
            if name.startswith("include/") and quoted:
                problems["public"].append(where + "a public header includes only libc headers")
            found = resolve(name, target, headers) if quoted else None
            if found and name in headers:
                graph.setdefault(name, []).append(found)
    for module in order:
        if any(module_of(n) == module and n.endswith(".h") for n in files) and \
           "src/%s/%s.h" % (module, module) not in headers:
            problems["folder"].append("module %s has no header %s.h" % (module, module))
    tap = checklib.Tap()
    tap.result("each module folder is in the list and has its header", problems["folder"])
    tap.result("a module includes only earlier modules", problems["order"])
    tap.result("a module is reached through its one header", problems["one"])
    tap.result("the include graph has no cycle", [" -> ".join(c) for c in find_cycles(graph)])
    tap.result("threads, atomics and RCU only in sync", problems["banned"])
    tap.result("public headers stand alone", problems["public"])
    tap.end()


if __name__ == "__main__":
    main()
