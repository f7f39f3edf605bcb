#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The man pages: no warning of the formatter, nothing left out, and what they show as examples works."""
import os
import re
import shutil
import subprocess
import sys
import tempfile

from clitest import (EXPLORE_CLI, ROOT, Skip, check, check_says, check_status, environment, main,
                     run, tests_of)

MAN = os.path.join(ROOT, "docs", "man")
PAGES = sorted(n for n in os.listdir(MAN) if re.search(r"\.[1-9]$", n))
# A tool's own spelling of a page's parts.
NEEDED = ["NAME", "SYNOPSIS", "DESCRIPTION", "EXIT STATUS", "EXAMPLES", "SEE ALSO"]


def source(page):
    with open(os.path.join(MAN, page), encoding="utf-8") as f:
        return f.read()


def plain(page):
    """The text without requests and escapes."""
    text = re.sub(r"\\f(\[\w*\]|.)", "", source(page).replace("\\-", "-").replace("\\e", "\\"))
    return re.sub(r"^\.(?:[A-Z]{1,2}|EX|EE|br|nf|fi) ?", "", text, flags=re.MULTILINE)


def examples(page):
    """The blocks between .EX and .EE, as a reader sees them."""
    blocks = re.findall(r"^\.EX\n(.*?)^\.EE$", source(page), re.MULTILINE | re.DOTALL)
    return [b.replace("\\-", "-").replace("\\e", "\\") for b in blocks]


def test_the_formatter_is_content():
    if not shutil.which("groff"):
        raise Skip("no groff")
    for page in PAGES:
        done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z", os.path.join(MAN, page)],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        check(done.returncode == 0 and done.stdout == "", "%s: %s" % (page, done.stdout))


def test_names_and_parts():
    for page in PAGES:
        name, section = page.rsplit(".", 1)
        check(re.search(r'^\.TH %s %s "" "Cloister" ' % (name.upper(), section), source(page),
                        re.MULTILINE), page)
        heads = re.findall(r"^\.SH (.*)$", source(page), re.MULTILINE)
        wanted = NEEDED if section == "1" else ["NAME", "DESCRIPTION", "SEE ALSO"]
        check([h for h in wanted if h not in heads] == [], "%s has %s" % (page, heads))
        for other, number in re.findall(r"^\.BR (\S+) \((\d)\)", source(page), re.MULTILINE):
            if "cloister" in other:
                other = "%s.%s" % (other.replace("\\-", "-"), number)
                check(other in PAGES, "%s refers to %s" % (page, other))


def test_all_options_are_described():
    for page, commands in (("cloister.1", ["run", "demo", "states"]), ("cloister-explore.1", ["explore"])):
        said = re.findall(r"^ +(--[a-z-]+)", "\n".join(run(c, "--help").out for c in commands),
                          re.MULTILINE)
        check(said or commands == ["demo"], page)
        for option in said:
            check_says(plain(page), option)
    for command in re.findall(r"^  (\w+) ", run("--help").out.split("options:")[0], re.MULTILINE):
        check_says(plain("cloister.1"), "\n%s\n" % command)


def test_all_functions_are_named():
    functions = []
    for header in sorted(os.listdir(os.path.join(ROOT, "include", "cloister"))):
        with open(os.path.join(ROOT, "include", "cloister", header), encoding="utf-8") as f:
            functions += re.findall(r"^CLO_API [^(;]*?(\w+)\(", f.read(), re.MULTILINE)
    check(len(functions) > 30, functions)
    text = source("libcloister.3")
    missing = [f for f in functions if "%s ()" % f not in text]
    check(missing == [], "not in libcloister.3: %s" % missing)
    for name in re.findall(r"\b(clo_\w+) \(\)", text):
        check(name in functions, "libcloister.3 names %s()" % name)


def test_commands_shown_do_work():
    env = environment(PATH=os.path.dirname(EXPLORE_CLI) + os.pathsep + os.environ["PATH"])
    for page in ("cloister.1", "cloister-explore.1"):
        for block in examples(page):
            for line in block.splitlines():
                words = line.split()
                check(words[0] == "cloister", line)
                if words[1] == "explore" and "--preemptions" not in words:
                    words += ["--preemptions", "1"]
                check_status(run(*words[1:], env=env), 1 if "--break" in words else 0)


def test_litmus_file_shown_holds():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "shown.litmus")
        with open(path, "w") as f:
            f.write(examples("cloister-litmus.5")[0])
        check_says(check_status(run("explore", path), 0).out, "holds")
        check_status(run("run", "--times", "50", path), 0)


def test_calls_shown_work():
    text = examples("cloister-seamcall.5")[0]
    with tempfile.NamedTemporaryFile("w", suffix=".calls") as f:
        f.write(text)
        f.flush()
        out = check_status(run("seamcall", f.name), 0).out
    shown = re.findall(r"# (GPA_\w+|TLB_\w+|SUCCESS)", text)
    check(re.findall(r"^TDH.MEM.PAGE.REMOVE.*\n  RAX \w+ (\w+)", out, re.MULTILINE) == shown, out)
    check_says(out, "was PENDING", "all holds")


def test_words_of_litmus_files():
    """Each declaration, and each word that may stand in it, by the reader's own list."""
    text = plain("cloister-litmus.5")
    for word in ("host", "vm", "gmem", "slot", "listener", "never", "always", "sometimes",
                 "corrupt", "content", "page", "nommap", "absent", "readonly",
                 "typed", "hypercall", "convert_on_hypercall", "max_level", "pins"):
        check(re.search(r"\b%s\b" % word, text), word)


if __name__ == "__main__":
    sys.exit(main(tests_of(sys.modules[__name__])))
