#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each check of the engine, left out, is missed: breaks.json says which litmus file shows it."""
import json
import os
import sys

from clitest import ROOT, check, check_status, litmus, main, run

HERE = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(HERE, "breaks.json"), encoding="utf-8") as f:
    BREAKS = {name: entry for name, entry in json.load(f).items() if name != "_"}


def the_table_is_complete():
    listed = {b["name"] for b in run("explore", "--breaks", "--json").json()}
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
                switch = "CLO_BREAK_%s, true" % name.upper().replace("-", "_")
                check(switch in source.read(), "%s does not switch %s" % (path, name))
    return test


def tests():
    yield "each switch is in the table", the_table_is_complete
    for name, entry in BREAKS.items():
        if "file" in entry:
            yield "%s: %s" % (name, entry["file"]), shown_by_a_file(name, entry)
        else:
            yield "%s: no litmus file, other tests" % name, shown_by_tests(name, entry)


if __name__ == "__main__":
    sys.exit(main(list(tests())))
