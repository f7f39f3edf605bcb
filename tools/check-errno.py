#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every errno that a header comment promises for a function is produced by a test.

A promise is "-EXXX" in the comment before a declaration, or behind it on its last line. A comment before
several adjacent declarations promises for the group: one of them must give it. Headers looked at are
include/**.h and src/<module>/<module>.h.

A test keeps the promise when, in one function body of a test file,
  CHECK_ERR(clo_f(...), -EXXX)       a check names the call and the errno, or
  rc = clo_f(...); CHECK_ERR(rc, -EXXX)   a check names the errno and the body calls f, or
  CHECK_ERR(clo_f(...), row->err)    a check names the call, and the errno stands in the body or in a
                                     file-level table that the body uses.
Calls may be made through functions of the same test file. What this cannot see is marked by a comment
  /* errno: clo_f -EXXX -EYYY: where it is checked */
which counts only if the file's code has a call of f and that errno. Promises that no test can produce are
in tools/errno-allow.txt, one a line: function, errno, reason. A line there that is not needed is an error.

An errno of many meanings has a reason (cloister/error.h): in the modules below litmus -EINVAL, -E2BIG and
-ENOMEM are made in a call of clo_fail() or clo_fail_heap() only, and -errno by clo_fail_errno() only.
"""
import errno
import os
import re

import checklib

DECLARATION = re.compile(r"^(?!#|typedef\b|return\b)[A-Za-z_][\w \t\*]*?\b(clo_\w+)\(", re.MULTILINE)
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
ERRNO = re.compile(r"-(E[A-Z][A-Z0-9]+)\b")
CALL = re.compile(r"\b([a-z_]\w*)[ \t]*\(")
CHECK = re.compile(r"\bCHECK\w*[ \t]*\(")
MARKER = re.compile(r"errno:((?:\s+\*?\s*clo_\w+(?:\s+\*?\s*-E[A-Z0-9]+,?)+;?)+)")
TABLE = re.compile(r"^[^\n{}()]*?\b(\w+)\[[^\]\n]*\][ \t]*=[ \t]*\{.*?^\};", re.DOTALL | re.MULTILINE)
MANY_MEANINGS = re.compile(r"-(EINVAL|E2BIG|ENOMEM|errno)\b")
COMPARED = re.compile(r"([!=]= |case |clo_fail\()$")
# The explorer's own; what `cloister doctor` asks of the machine; the two functions themselves.
NO_REASON = re.compile(r"^src/(base/|check/|litmus/|explore/|cli/|sync/sync_(explore|error|fiber)|view/view_probe)")
ALLOW = "tools/errno-allow.txt"


def errnos(text):
    return set(e for e in ERRNO.findall(text) if hasattr(errno, e))


class Promise:
    """Errno values that one of `functions` must be seen to give."""

    def __init__(self, where, functions, values):
        self.where = where
        self.functions = functions
        self.values = values


def promises_of(root, name):
    text = checklib.read(root, name)
    code = checklib.blank(text)
    comments = list(COMMENT.finditer(text))
    promises = []
    group_end = -1
    for match in DECLARATION.finditer(code):
        end = code.find(";", match.end())
        brace = code.find("{", match.end())
        if 0 <= brace < end:  # an inline function: its body is no part of the contract
            end = code.find("\n}", brace)
        where = "%s:%d" % (name, checklib.line_of(text, match.start()))
        before = [c for c in comments if c.end() <= match.start() and
                  text[c.end():match.start()] == "\n"]
        adjacent = group_end >= 0 and text[group_end:match.start()] == "\n"
        behind = [c for c in comments if c.start() > end and
                  text[end + 1:c.start()].strip(" \t") == ""]
        # What returns void or a pointer gives no errno.
        functions = [match.group(1)] if re.search(r"\bint\w*\s", match.group(0)) else []
        if before:
            promises.append(Promise(where, functions, errnos(before[-1].group(0))))
        elif adjacent and promises:
            promises[-1].functions += functions
        else:
            promises.append(Promise(where, functions, set()))
        group_end = end + 1
        if behind:
            promises.append(Promise(where, functions, errnos(behind[0].group(0))))
            group_end = -1
    return [p for p in promises if p.values and p.functions]


def bodies(code):
    """(name or None, text) of each function body of a test file; tests have no name."""
    found = []
    start = 0
    for match in re.finditer(r"^\{\n(.*?)^\}", code, re.DOTALL | re.MULTILINE):
        head = code[max(code.rfind("\n}", start, match.start()), code.rfind(";", start, match.start()),
                        start):match.start()]
        names = [n for n in CALL.findall(head)]
        found.append((names[0] if names else None, match.group(1)))
        start = match.start()
    return found


def calls_through(code_bodies):
    """For each function of the file, the clo_ functions that it calls, also through others."""
    direct = {}
    for name, body in code_bodies:
        if name:
            direct.setdefault(name, set()).update(CALL.findall(body))
    closed = {}

    def close(name, seen):
        if name in closed:
            return closed[name]
        result = set()
        for callee in direct.get(name, ()):
            if callee.startswith("clo_"):
                result.add(callee)
            elif callee in direct and callee not in seen:
                result |= close(callee, seen | {callee})
        if len(seen) == 1:
            closed[name] = result
        return result

    for name in direct:
        close(name, {name})
    return closed


def clo_calls(text, through):
    result = set()
    for name in CALL.findall(text):
        if name.startswith("clo_"):
            result.add(name)
        result |= through.get(name, set())
    return result


def kept_by(root, name):
    """Pairs (function, errno) that one test file shows, and problems of its markers."""
    text = checklib.read(root, name)
    code = checklib.blank(text)
    code_bodies = bodies(code)
    through = calls_through(code_bodies)
    tables = {m.group(1): errnos(m.group(0)) for m in TABLE.finditer(code)}
    pairs = set()
    for _, body in code_bodies:
        in_body = clo_calls(body, through)
        values_near = errnos(body)
        for table, values in tables.items():
            if re.search(r"\b%s\b" % table, body):
                values_near = values_near | values
        for match in CHECK.finditer(body):
            check = body[match.start():checklib.matching_paren(body, match.end() - 1)]
            calls = clo_calls(check, through) or in_body
            values = errnos(check) or (values_near if calls is not in_body else set())
            pairs |= set((f, e) for f in calls for e in values)
    problems = []
    for comment in COMMENT.finditer(text):
        for marker in MARKER.findall(comment.group(0)):
            for f, values in re.findall(r"(clo_\w+)((?:\s+\*?\s*-E[A-Z0-9]+,?)+)", marker):
                for e in errnos(values):
                    if e in errnos(code) and f in clo_calls(code, {}):
                        pairs.add((f, e))
                    else:
                        problems.append("%s:%d: marker for %s -%s, but the code has no such call "
                                        "or errno" % (name, checklib.line_of(text, comment.start()),
                                                      f, e))
    return pairs, problems


def without_reason(root, name):
    code = checklib.blank(checklib.read(root, name))
    return ["%s:%d: %s without a reason: use clo_fail()" % (name, checklib.line_of(code, m.start()), m.group(0))
            for m in MANY_MEANINGS.finditer(code) if not COMPARED.search(code[:m.start()])]


def read_allowed(root):
    allowed = {}
    problems = []
    if not os.path.exists(os.path.join(root, ALLOW)):
        return allowed, problems
    for number, line in enumerate(checklib.read(root, ALLOW).splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        words = line.split(None, 2)
        if len(words) < 3 or not errnos(words[1]):
            problems.append("%s:%d: wanted: function -EXXX reason" % (ALLOW, number))
            continue
        allowed[(words[0], words[1][1:])] = number
    return allowed, problems


def main():
    root = checklib.parse_args(__doc__.split("\n")[0]).root
    files = checklib.c_files(root)
    promises = []
    for name in files:
        if name.startswith("include/") or re.match(r"^src/(\w+)/\1\.h$", name):
            promises += promises_of(root, name)
    kept = set()
    marker_problems = []
    for name in files:
        if checklib.is_test(name) and name.endswith(".c"):
            pairs, problems = kept_by(root, name)
            kept |= pairs
            marker_problems += problems
    allowed, allow_problems = read_allowed(root)
    broken = []
    used = set()
    for promise in promises:
        for value in sorted(promise.values):
            pairs = [(f, value) for f in promise.functions]
            excuses = [p for p in pairs if p in allowed]
            if any(p in kept for p in pairs):
                continue
            used |= set(excuses)
            if not excuses:
                broken.append("%s: no test gets -%s from %s" %
                              (promise.where, value, " or ".join(promise.functions)))
    allow_problems += ["%s:%d: %s -%s needs no exception" % (ALLOW, line, f, e)
                       for (f, e), line in sorted(allowed.items()) if (f, e) not in used]
    bare = []
    for name in files:
        if name.startswith("src/") and not checklib.is_test(name) and not NO_REASON.match(name):
            bare += without_reason(root, name)
    tap = checklib.Tap()
    tap.result("an errno of many meanings is made with its reason", bare)
    tap.result("each errno named in a header comment is produced by a test", broken)
    tap.result("errno markers in tests name calls and values that are there", marker_problems)
    tap.result("exceptions are needed and have a reason", allow_problems)
    tap.end()


if __name__ == "__main__":
    main()
