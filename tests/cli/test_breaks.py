#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each check of the engine, left out, is missed: breaks.json says which litmus file shows it."""
import json
import os
import re
import sys

from clitest import ROOT, check, check_status, litmus, main, run

HERE = os.path.dirname(os.path.abspath(__file__))


def table(name):
    with open(os.path.join(HERE, name), encoding="utf-8") as f:
        return {name: entry for name, entry in json.load(f).items() if name != "_"}


BREAKS = table("breaks.json")
SITES = table("rcu-sites.json")
SITE = "rcu-site="
# A sanitizer ends the program at a read of freed memory, before the explorer can say so.
QUICK = "--quick" in sys.argv[1:]


def the_table_is_complete():
    listed = {b["name"] for b in run("explore", "--breaks", "--json").json()
              if not b["name"].startswith(SITE)}
    check(listed == set(BREAKS), "not in both: %s" % sorted(listed ^ set(BREAKS)))


def shown_by_a_file(name, entry):
    def test():
        report = check_status(run("explore", "--json", "--preemptions", "1", "--break", name,
                                  litmus(entry["file"])), 1).json()[0]
        check(report["verdict"] == "violated", report)
        check(report["violated"] in entry["violates"], report)
        print("# %s: %s, replay %s" % (report["violated"], report["why"], report["replay"]))
    return test


def shown_by_tests(name, entry):
    """What the table says about other tests is true as far as text can tell."""
    def test():
        check(entry["no_file"], entry)
        for path in entry["tests"]:
            with open(os.path.join(ROOT, path), encoding="utf-8") as source:
                switch = "CLO_BREAK_%s, " % name.upper().replace("-", "_")
                check(switch in source.read(), "%s does not switch %s" % (path, name))
    return test


def the_sites_are_complete():
    """Who adds a read section says which file shows that it is needed, or why none can."""
    listed = {b["name"][len(SITE):] for b in run("explore", "--breaks", "--json").json()
              if b["name"].startswith(SITE)}
    check(listed == set(SITES), "not in both: %s" % sorted(listed ^ set(SITES)))
    for name, entry in SITES.items():
        check(len(set(entry) & {"file", "tests", "no_file"}) == 1, name)


def shown_by_site(name, entry):
    def test():
        report = check_status(run("explore", "--json", "--preemptions", "1", "--break", SITE + name,
                                  litmus(entry["file"])), 1).json()[0]
        check(report["verdict"] == "violated" and report["violated"] == "I5", report)
        check_status(run("explore", "--break", SITE + name, "--replay", report["replay"],
                         litmus(entry["file"])), 1)
        print("# %s %s" % (report["why"], report.get("report", "")))
    return test


def shown_by_scene(name, entry):
    """As far as text can tell."""
    def test():
        for path in entry["tests"]:
            with open(os.path.join(ROOT, path), encoding="utf-8") as source:
                text = source.read()
            check('"%s"' % name in text and re.search("clo_rcu_site_break|needs_section", text),
                  "%s does not leave out %s" % (path, name))
    return test


def tests():
    yield "each read section is in the table", the_sites_are_complete
    for name, entry in SITES.items():
        if "file" in entry and not QUICK:
            yield "read section %s: %s" % (name, entry["file"]), shown_by_site(name, entry)
        elif "tests" in entry:
            yield "read section %s: a scene" % name, shown_by_scene(name, entry)
    yield "each switch is in the table", the_table_is_complete
    for name, entry in BREAKS.items():
        if "file" in entry:
            yield "%s: %s" % (name, entry["file"]), shown_by_a_file(name, entry)
        else:
            yield "%s: no litmus file, other tests" % name, shown_by_tests(name, entry)


if __name__ == "__main__":
    sys.exit(main(list(tests())))
