#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What each command does and prints, as text and as JSON."""
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

from clitest import (CLI, ROOT, TIMEOUT, Done, Skip, check, check_keys, check_says, check_status,
                     environment, litmus, main, replay_id, run, tests_of)

STATES = {
    "frame": ["state", "operation", "next"],
    "zap": ["number", "reason"],
    "cause": ["number", "cause of an exit"],
    "reason": ["number", "name", "errno", "reason"],
    "invariant": ["invariant", "sentence"],
    "type": ["type", "number", "private memory", "typed access", "to private", "to shared"],
    "tdx": ["state", "leaf", "next", "status", "must be"],
    "tdx-state": ["state", "short", "code", "shown", "rwx", "track", "guest"],
    "tdx-op": ["state", "leaf", "allowed", "may run"],
    "tdx-leaf": ["leaf", "number", "levels", "TDR", "OP_STATE", "tree", "entry"],
    "snp": ["state", "operation", "next", "status", "source"],
    "snp-state": ["state", "assigned", "validated", "immutable", "VMSA", "ASID", "guest", "host"],
}
# A file in which a condition is false in every run, one that no run meets, and one that hangs.
VIOLATED = """SW_PROTECTED wrong
{
	vm a owner gmem;
	gmem f 4 pages @a;
	slot s 0 0x0+4 gmem f @a;
}
 vCPU0@a             ;
 store 0x1 7         ;
 r0 = load 0x1       ;
always (vCPU0:r0 = 8)
"""


def with_file(text, command, *args):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "x.litmus")
        with open(path, "w") as f:
            f.write(text)
        return run(command, path, *args)


# ---- states, doctor, demo

def test_states_as_text():
    done = check_status(run("states"), 0)
    check([m for m in re.findall(r"^([\w-]+): ", done.out, re.MULTILINE)] == list(STATES), done)
    check_says(done.out, "alloc_private", "split-merge", "no memslot", "I1", "I7", "SW_PROTECTED")
    for name, heads in STATES.items():
        one = check_status(run("states", name), 0)
        check_says(done.out, one.out)
        check(re.split(r"  +", one.out.splitlines()[2].strip()) == heads, one)
    two = run("states", "zap", "frame").out
    check(two.startswith("frame: ") and "\nzap: " in two and "cause" not in two, two)


def test_states_as_json():
    tables = check_status(run("--json", "states"), 0).json()
    check(list(tables) == list(STATES), list(tables))
    for name, rows in tables.items():
        check(rows, name)
        for row in rows:
            check(list(row) == STATES[name], row)
            check(all(isinstance(cell, str) for cell in row.values()), row)
    check(run("states", "type", "--json").json() == {"type": tables["type"]}, "one table")
    cells = {(r["state"], r["operation"]): r["next"] for r in tables["frame"]}
    check(len(cells) == len(tables["frame"]), "a cell twice")
    check(cells["private", "make_shared"] == "shared", cells)
    check(cells["leaked", "free"] == "-", cells)


def test_states_page_is_generated():
    with open(os.path.join(ROOT, "docs", "design", "states.md"), encoding="utf-8") as f:
        page = f.read()
    tables = check_status(run("states", "--markdown"), 0).out
    check(page.endswith("\n" + tables), "docs/design/states.md: replace what follows its first "
          "paragraph by the output of `cloister states --markdown`")


def test_states_as_graph():
    graph = check_status(run("states", "--dot"), 0).out
    check(graph.startswith('digraph "frame" {') and graph.count("digraph") == 3, graph)
    check_says(graph, '"PENDING" -> "MAPPED" [label="TDG.MEM.PAGE.ACCEPT"];')
    check_status(run("states", "--xml"), 2)


# ---- seamcall

CALLS = """td a op RUNNABLE
sept a 0x0 4K MAPPED tracked   # a comment
TDH.MEM.RANGE.BLOCK a 0x0 4K
lock a tree shared
TDH.MEM.RANGE.UNBLOCK a 0x0 4K
unlock a tree
TDG.MEM.PAGE.ACCEPT a 0x5000 4K
check
"""


def seamcall(text, *args):
    with tempfile.NamedTemporaryFile("w", suffix=".calls") as f:
        f.write(text)
        f.flush()
        return run(*args, "seamcall", f.name)


def test_seamcall():
    done = check_status(seamcall(CALLS), 0)
    check_says(done.out, "  RAX 0000000000000000 SUCCESS\n", "BLOCKED ---", "was MAPPED rwx",
               "REG of a", "  RAX 8000020000000092 OPERAND_BUSY SEPT_TREE\n",
               "exit EPT_VIOLATION qualification 0x2 extended 0x1 (ACCEPT) gpa 0x5000",
               "all holds")


def test_seamcall_json():
    lines = [json.loads(line) for line in check_status(seamcall(CALLS, "--json"), 0).out.splitlines()]
    check([o["line"] for o in lines] == [3, 5, 7, 8], lines)
    check(lines[0]["after"]["state"] == "BLOCKED" and lines[0]["pages"][0]["type"] == "REG", lines)
    check(lines[1]["operand"] == "SEPT_TREE" and lines[1]["status"] == "OPERAND_BUSY", lines)
    check(int(lines[2]["exit"]["gpa"], 16) == 0x5000 and lines[3]["violation"] == "", lines)


def test_seamcall_errors():
    done = check_status(seamcall("td a\n\nTDH.MEM.TRACK b\nTDH.MEM.TRACK a\n"), 2)
    check_says(done.err, ":3: 'b': no TD of this name")
    check(done.out == "", done)
    check_status(run("seamcall", "/nonexistent"), 2)
    check_status(run("seamcall"), 2)
    # A stale translation is a finding: the module's own deviation.
    stale = ("td a\nsept a 0 4K EBW\nTDH.VP.ENTER a\nread a 0\n"
             "TDH.MEM.PAGE.RELOCATE a 0 4K page new\ncheck\n")
    check_says(check_status(seamcall(stale), 1).out, "I5: a vCPU has a translation")


def test_doctor():
    # Another test may reserve huge pages for a moment: asked until nothing changed meanwhile.
    for _ in range(20):
        found = run("doctor", "--json").json()
        done = check_status(run("doctor"), 0)
        if found == run("doctor", "--json").json():
            break
    check_keys(found, ["checks", "free_2m_pages", "free_1g_pages", "max_map_count", "level",
                       "protects", "user_mode_only"], "doctor")
    check(found["level"] in ("uffd", "remap", "soft"), found["level"])
    check_says(done.out, "Host view level: " + found["level"], found["protects"])
    for one in found["checks"]:
        check_keys(one, ["what", "works", "error", "without"], "check")
        check(one["works"] == (one["error"] == ""), one)
        check_says(done.out, "  yes  %(what)s\n" % one if one["works"] else
                   "  no   %(what)s: %(error)s (%(without)s)\n" % one)


def test_demo():
    done = check_status(run("demo", "--json"), 0)
    tour = done.json()
    check_keys(tour, ["host_view", "steps", "seconds", "good", "error"], "demo")
    check(tour["good"] is True and tour["error"] == "", done)
    check(len(tour["steps"]) >= 7, done)
    for step in tour["steps"]:
        check_keys(step, ["step", "done", "checked", "measured"], "step")
        check("left out" not in step["done"], step)
    text = check_status(run("demo"), 0).out
    check_says(text, "all checks passed in ", *[s["step"] for s in tour["steps"]])


def test_demo_without_memory():
    """It fails with a message, at whichever step there is no more address space."""
    if run("-c", 'ulimit -v 300000; exec "$0" --version', CLI, program="/bin/sh").status:
        raise Skip("no such program runs with so little address space (a sanitizer)")
    for kib in (100000, 300000, 400000, 600000, 800000, 1500000):
        done = run("-c", 'ulimit -v %d; exec "$0" demo' % kib, CLI, program="/bin/sh")
        check(done.status == 1 and done.err.startswith("cloister demo: "), done)


# ---- run

def test_run_counts_outcomes():
    file = litmus("mail3-private-fault-exit")
    for view in ("auto", "soft"):
        done = check_status(run("run", "--times", "200", "--view", view, file), 0)
        check_says(done.out, "200 runs on threads", "  holds\n")
        counts = [int(n) for n in re.findall(r"^ +(\d+)  CPU0:r0=", done.out, re.MULTILINE)]
        check(sum(counts) == 200, done)
        check(counts == sorted(counts, reverse=True), done)
    done = check_status(run("run", "--rows", file), 0)
    check_says(done.out, "once, in the order of its rows", "         1  CPU0:r0=")
    check("threads" not in done.out, done)


def test_run_as_json():
    files = [litmus("mail0-holes"), litmus("fault-vs-punch")]
    done = check_status(run("--json", "run", "--times", "50", *files), 0)
    reports = done.json()
    check([r["file"] for r in reports] == files, done)
    for report in reports:
        check_keys(report, ["file", "name", "runs", "outcomes", "violations", "why",
                            "sometimes_not_seen"], "report")
        check(report["runs"] == 50 and report["violations"] == 0 and report["why"] == "", report)
        check(sum(o["times"] for o in report["outcomes"]) == 50, report)


def test_run_finds_what_is_forbidden():
    done = check_status(with_file(VIOLATED, "run", "--times", "10"), 1)
    check_says(done.out, "VIOLATED in 10 runs", "first: vCPU0:r0=0x7")
    report = check_status(with_file(VIOLATED, "run", "--times", "10", "--json"), 1).json()[0]
    check(report["violations"] == 10 and report["why"], report)
    # A finding in one file, none in the other.
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "x.litmus")
        with open(path, "w") as f:
            f.write(VIOLATED)
        done = check_status(run("run", "--times=5", path, litmus("mail0-holes")), 1)
        check_says(done.out, "VIOLATED", "holds")


def test_run_says_which_initial_state_is_impossible():
    text = VIOLATED.replace("slot s 0 0x0+4 gmem f @a;",
                            "slot s 0 0x0+4 gmem f @a;\n\tslot t 1 0x2+4 @a;")
    for command in ("run", "explore"):
        done = check_status(with_file(text, command), 2)
        check_says(done.err, "x.litmus: ", "slot t")
    done = check_status(with_file(text, "explore", "--replay", "0"), 2)
    check_says(done.err, "x.litmus: ", "slot t")


def test_run_prints_the_language():
    done = check_status(run("run", "--ops"), 0)
    check_says(done.out, "map_gpa PAGE[+N] private|shared", "mismatch", "slot_delete")


# ---- explore

def test_explore_reports_what_holds():
    check_says(check_status(run("explore", litmus("mail0-holes")), 0).out, "\n  holds\n")
    file = litmus("zero-policy-vs-host")
    done = check_status(run("explore", "--preemptions=1", file), 0)
    check_says(done.out, "\n  holds if fair\n  left out: ")
    file = litmus("mail4-prepare-fails")
    done = check_status(run("explore", file), 0)
    check_says(done.out, "at most 2 preemptions", " interleavings, ", "I1..I7 after each step",
               "\n  not explored: more than 2 preemptions, weak memory, user mappings")
    check_says(check_status(run("explore", "--preemptions", "1", file), 0).out,
               "at most 1 preemption\n")
    more = check_status(run("explore", "--all-points", "--preemptions=1", file), 0)
    few = run("explore", "--preemptions=1", file)
    runs = [int(re.search(r"(\d+) interleavings", d.out).group(1)) for d in (few, more)]
    check(runs[0] < runs[1], runs)


def test_explore_is_deterministic():
    file = litmus("fault-vs-convert")
    first = run("explore", "--preemptions", "1", "--json", file)
    check(first.out == run("explore", "--preemptions", "1", "--json", file).out, first)


def test_explore_finds_and_replays_a_race():
    file = litmus("fault-vs-punch")
    done = check_status(run("explore", "--break", "inval-seq", file), 1)
    check_says(done.out, "VIOLATED: I5: ", "the schedule, 1 preemption:", "--break inval-seq",
               file, "step | vCPU0", "leaf published", "I5 violated")
    printed = done.out.split("preemption:\n\n")[1].split("\n\n  again:")[0]
    ident = replay_id(done.out)
    again = check_status(run("explore", "--replay", ident, "--break", "inval-seq", file), 1)
    check(again.out.rstrip("\n") == printed.rstrip("\n"), "%s\nis not\n%s" % (again, printed))
    # The command that is printed is complete.
    words = re.search(r"again: cloister (.*)", done.out).group(1).split()
    check(run(*words).out == again.out, words)
    # The same schedule is harmless in the engine as it is.
    good = check_status(run("explore", "--replay", ident, file), 0)
    check_says(good.out, "nothing violated")
    check("violated:" not in good.out, good)
    full = check_status(run("explore", "--replay", ident, "--all-steps", "--break", "inval-seq",
                            file), 1)
    check(len(full.out.splitlines()) > 3 * len(again.out.splitlines()), full)
    check_status(run("explore", "--replay", "0", file), 0)


def test_explore_as_json():
    keys = ["file", "name", "verdict", "interleavings", "steps", "preemptions", "violated", "why",
            "schedule", "outcomes", "not_explored", "left_out_as_unfair", "preemptions_done"]
    files = [litmus("fault-vs-punch"), litmus("zero-policy-vs-host")]
    done = check_status(run("explore", "--preemptions=1", "--json", *files), 0)
    verdicts = ["holds", "holds if fair"]
    for report, file, verdict in zip(done.json(), files, verdicts):
        check_keys(report, keys, "report")
        check(report["file"] == file and report["verdict"] == verdict, report)
        check(report["violated"] == "" and report["schedule"] == [], report)
        check(report["preemptions_done"] == 1 and "weak memory" in report["not_explored"], report)
        check(sum(o["times"] for o in report["outcomes"]) == report["interleavings"], report)
    done = check_status(run("--json", "explore", "--break", "inval-seq", files[0]), 1)
    report = done.json()[0]
    check_keys(report, keys + ["replay"], "report")
    check(report["verdict"] == "violated" and report["violated"] == "I5", report)
    check(report["replay"] == ",".join("%(step)d:%(thread)d" % s for s in report["schedule"]),
          report)
    text = run("explore", "--break", "inval-seq", files[0])
    check(replay_id(text.out) == report["replay"], report)


def test_explore_finds_what_is_forbidden():
    done = check_status(with_file(VIOLATED, "explore"), 1)
    check_says(done.out, "VIOLATED: outcome: ", "0 preemptions", "--replay 0 ")
    sometimes = VIOLATED.replace("always", "sometimes")
    done = check_status(with_file(sometimes, "explore"), 1)
    check_says(done.out, "NEVER SEEN: sometimes (vCPU0:r0 = 0x8)")
    report = check_status(with_file(sometimes, "explore", "--json"), 1).json()[0]
    check(report["verdict"] == "never seen", report)
    # Threads may just have missed it.
    check_says(check_status(with_file(sometimes, "run", "--times=5"), 0).out, "not seen",
               "cloister explore")


def test_a_livelock_is_found_and_replayed():
    file = litmus("mail3-private-fault-exit")
    done = check_status(run("explore", "--break", "mismatch-retry", file), 1)
    check_says(done.out, "VIOLATED: I7")
    again = run("explore", "--break", "mismatch-retry", "--replay", replay_id(done.out), file)
    check_status(again, 1)


def test_explore_that_is_cut_short():
    done = check_status(run("explore", "--max-runs", "5", litmus("fault-vs-punch")), 1)
    check_says(done.out, "incomplete")
    report = run("explore", "--max-runs=5", "--json", litmus("fault-vs-punch")).json()[0]
    check(report["verdict"] == "incomplete" and report["interleavings"] <= 5, report)


def catches(pid, number):
    with open("/proc/%d/status" % pid, encoding="ascii") as status:
        caught = re.search(r"SigCgt:\s+(\w+)", status.read()).group(1)
    return int(caught, 16) >> (number - 1) & 1


def test_run_that_crashes_says_where():
    args = ["run", "--times", "100000000", litmus("fault-vs-punch")]
    with subprocess.Popen([CLI] + args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env=environment()) as process:
        while not catches(process.pid, signal.SIGTRAP):
            time.sleep(0.01)
        process.send_signal(signal.SIGTRAP)  # the one of them that no sanitizer catches
        out, err = process.communicate(timeout=TIMEOUT)
    done = check_status(Done(process.args, process.returncode, out, err), -signal.SIGTRAP)
    check_says(done.err, litmus("fault-vs-punch") + ": crashed: SIGTRAP sent by process %d" %
               os.getpid(), " in run ", "this is a defect of the engine", "cloister explore ")


def interrupted(how, *args):
    """What a search for minutes says that is stopped once it is on its way."""
    with subprocess.Popen([CLI, "explore", "--preemptions", "3", *args,
                           litmus("pre-fault-vs-convert"), litmus("mail0-holes")],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env=environment()) as process:
        # Before it catches them a signal would end it.
        while not catches(process.pid, signal.SIGTERM):
            time.sleep(0.01)
        process.send_signal(how)
        out, err = process.communicate(timeout=TIMEOUT)
    return check_status(Done(process.args, process.returncode, out, err), 1)


def test_explore_that_is_interrupted_says_what_it_explored():
    done = interrupted(signal.SIGINT)
    check_says(done.out, " interleavings, ", "vCPU0:r0=0x7", "  incomplete: stopped by SIGINT; ",
               "not explored: ")
    check(done.out.count("stopped by SIGINT") == 2, done)
    reports = interrupted(signal.SIGTERM, "--json").json()
    check(len(reports) == 2, reports)
    for report in reports:
        check(report["verdict"] == "incomplete" and report["stopped_by"] == "SIGTERM", report)
        check(report["interleavings"] > 0 and report["outcomes"], report)
        check(report["preemptions_done"] < 3, report)


def test_explore_with_a_timeout():
    start = time.monotonic()
    done = check_status(run("explore", "--timeout", "1", "--preemptions", "9",
                            litmus("pre-fault-vs-convert")), 1)
    check(time.monotonic() - start >= 1, done)
    check_says(done.out, "stopped by --timeout; explored are ")
    check_status(run("explore", "--timeout=1000", litmus("mail0-holes")), 0)


def test_canonical_text_reads_back():
    for name in ("fault-vs-punch", "convert-refused", "mail0-double-mapping"):
        first = check_status(run("explore", "--canonical", litmus(name)), 0)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "again.litmus")
            with open(path, "w") as f:
                f.write(first.out)
            check(run("explore", "--canonical", path).out == first.out, first)
            both = [run("explore", "--preemptions=1", "--json", p).json()[0]
                    for p in (litmus(name), path)]
            for report in both:
                del report["file"]
            check(both[0] == both[1], both)


def test_breaks():
    done = check_status(run("explore", "--breaks"), 0)
    found = re.findall(r"^  (\S+) +(\S.*)$", done.out, re.MULTILINE)
    check(len(found) == len(done.out.splitlines()) >= 15, done)
    listed = run("explore", "--breaks", "--json").json()
    check([(b["name"], b["without"]) for b in listed] == found, listed)


if __name__ == "__main__":
    sys.exit(main(tests_of(sys.modules[__name__])))
