#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The command as somebody meets it who mistypes, asks for help, or has a broken file or terminal."""
import os
import re
import subprocess
import sys
import tempfile

from clitest import (CLI, ESCAPE, EXPLORE_CLI, LITMUS, check, check_says, check_status,
                     check_usage_error, environment, litmus, main, run, run_on_terminal, tests_of)

COMMANDS = ["demo", "doctor", "run", "explore", "states"]
# Options that each command's help must name.
OPTIONS = {
    "run": ["--times", "--rows", "--view", "--ops"],
    "explore": ["--preemptions", "--max-runs", "--timeout", "--all-points", "--break", "--breaks",
                "--replay", "--all-steps", "--canonical"],
}


def test_help_names_each_command_and_how_to_begin():
    done = check_status(run("--help"), 0)
    for name in COMMANDS:
        check(re.search(r"^  %s +\S" % name, done.out, re.MULTILINE), "%s: %s" % (name, done))
    check_says(done.out, "usage: cloister", "--json", "--version", "to begin with:", LITMUS)
    check(done.err == "", done)
    check(max(len(line) for line in done.out.splitlines()) <= 100, done)
    for same in (["-h"], ["help"]):
        check(run(*same).out == done.out, same)


def test_what_help_begins_with_works():
    for line in run("--help").out.split("to begin with:")[1].split("\n\n")[0].splitlines():
        words = line.split("  ")[1].split() if line else []
        if words[1:2] in (["run"], ["explore"]):
            broken = "--break" in words
            done = run(*words[1:], "--preemptions=1" if words[1] == "explore" else "--times=20")
            check_status(done, 1 if broken else 0)


def test_no_command_is_wrong_usage():
    for args in ([], ["--json"]):
        done = run(*args)
        check_usage_error(done, "usage: cloister")


def test_help_of_each_command():
    for name in COMMANDS:
        done = check_status(run(name, "--help"), 0)
        check(done.err == "", done)
        check(done.out.startswith("usage: cloister [--json] %s" % name), done)
        check(max(len(line) for line in done.out.splitlines()) <= 100, done)
        check_says(done.out, *OPTIONS.get(name, []))
        for same in (["help", name], ["--help", name], [name, "-h"], ["--json", name, "--help"]):
            check(run(*same).out == done.out, same)


def test_version():
    done = check_status(run("--version"), 0)
    check(re.fullmatch(r"cloister \d+\.\d+\.\d+\n", done.out), done)


def test_unknown_command_and_option():
    check_usage_error(run("frob"), "no command 'frob'", "--help")
    check_usage_error(run("help", "frob"), "no command 'frob'")
    check_usage_error(run("--frob"), "no option '--frob'")
    for name in COMMANDS:
        check_usage_error(run(name, "--frob"), "cloister %s: " % name, "'--frob'",
                          "Try 'cloister %s --help'" % name)
        check_usage_error(run(name, "-x"), "'-x'")
    for name in ("demo", "doctor"):
        check_usage_error(run(name, "more"), "unexpected argument 'more'")
    check_usage_error(run("states", "zap", "frob"), "no table 'frob'", "frame", "type")


def test_options_of_run():
    file = litmus("fault-vs-punch")
    for value in ("0", "-1", "x", "", "1x", "100000001", "99999999999999999999"):
        check_usage_error(run("run", "--times", value, file), "--times", "'%s'" % value)
    check_usage_error(run("run", "--view", "good", file), "auto, uffd, remap or soft", "'good'")
    check_usage_error(run("run", "--times"), "'--times' needs a value")
    check_usage_error(run("run", file, "--times"), "'--times' needs a value")
    check_usage_error(run("run", "--rows=1", file), "'--rows' takes no value")
    check_usage_error(run("run"), "no litmus file named")
    check_usage_error(run("run", "--ops", "--json"), "--ops")
    for args in (["--times", "3", file], [file, "--times", "3"], ["--times=3", "--", file]):
        check_says(check_status(run("run", *args), 0).out, "3 runs on threads")


def test_options_of_explore():
    file = litmus("fault-vs-punch")
    for value in ("17", "-1", "x", ""):
        check_usage_error(run("explore", "--preemptions", value, file), "--preemptions",
                          "'%s'" % value)
    for value in ("0", "-1", "x"):
        check_usage_error(run("explore", "--max-runs", value, file), "--max-runs", "'%s'" % value)
    for value in ("0", "-1", "x", "1.5", "99999999999"):
        check_usage_error(run("explore", "--timeout", value, file), "--timeout", "'%s'" % value)
    check_usage_error(run("explore", "--break", "rcu-site=x.c:y", file), "'rcu-site=x.c:y'")
    check_usage_error(run("explore", "--break", "frob", file), "'frob'", "--breaks")
    check_usage_error(run("explore", "--break"), "'--break' needs a value")
    check_usage_error(run("explore", "--all-steps=1", file), "'--all-steps' takes no value")
    check_usage_error(run("explore"), "no litmus file named")
    for value in ("x", "1", "1:", "1:2,", "1:2;3:4", "-1:2", "1:99", ""):
        check_usage_error(run("explore", "--replay", value, file), "--replay", "'%s'" % value)
    check_usage_error(run("explore", "--replay", "0", file, file), "one file, not 2")
    check_usage_error(run("explore", "--json", "--replay", "0", file), "--replay", "JSON")
    check_usage_error(run("explore", "--json", "--canonical", file), "--canonical", "JSON")


def test_files_that_cannot_be_read():
    with tempfile.TemporaryDirectory() as folder:
        missing, locked = os.path.join(folder, "missing"), os.path.join(folder, "locked")
        large, loop = os.path.join(folder, "large"), os.path.join(folder, "loop")
        with open(locked, "w"):
            os.chmod(locked, 0)
        with open(large, "wb") as f:
            f.truncate(1 << 24)
        os.symlink(loop, loop)
        for command in ("run", "explore"):
            check_usage_error(run(command, missing), missing + ": No such file")
            check_usage_error(run(command, folder), folder + ": Is a directory")
            check_usage_error(run(command, large), large + ": File too large")
            check_usage_error(run(command, loop), loop + ": ")
            check_usage_error(run(command, ""), "No such file")
            if os.geteuid() != 0:
                check_usage_error(run(command, locked), locked + ": Permission denied")
            # One bad file does not hide a good one.
            done = check_status(run(command, missing, litmus("mail0-holes")), 2)
            check_says(done.out, "holds")


BAD_FILES = [
    # text, line that is wrong, what the message says
    ("", 1, ["expected:", "VM type"]),
    ("FROBBED x\n{\n}\n", 1, ["'FROBBED' is no VM type", "expected:", "SW_PROTECTED"]),
    ("SW_PROTECTED x\n{\n\tvm a owner frob;\n}\n", 3, ["frob", "expected:", "gmem"]),
    ("SW_PROTECTED x\n{\n\tvm a owner gmem;\n}\n A@a ;\n laod 0 ;\n", 6, ["laod", "load"]),
    ("SW_PROTECTED x\n{\n\tvm a owner gmem;\n", 4, ["expected:"]),
    ("SW_PROTECTED x\n{\n\tvm a owner gmem;\n}\n A@nobody ;\n load 0 ;\n", 5, ["nobody"]),
    ("SW_PROTECTED \x01\x02\x1b[31m\n", 1, ["unexpected character"]),
]


def test_bad_litmus_files_are_refused_with_their_place():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "bad.litmus")
        for text, line, says in BAD_FILES:
            with open(path, "w") as f:
                f.write(text)
            for command in ("run", "explore"):
                done = run(command, path)
                check_usage_error(done, "%s:%d:" % (path, line), *says)
                check(ESCAPE not in done.err, "a file's escape reached the terminal: %s" % done)
                check(re.search(r"^ +\| +\^", done.err, re.MULTILINE), "no caret: %s" % done)


def test_random_bytes_are_refused():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "random")
        for seed in range(8):
            with open(path, "wb") as f:
                f.write(bytes((i * i * 31 + seed * 7 + i * seed * 13) % 256 for i in range(3000)))
            check_usage_error(run("run", path), path + ":1:")


def test_helper_that_is_not_there():
    with tempfile.TemporaryDirectory() as folder:
        env = environment(CLOISTER_EXEC_PATH=folder)
        check_usage_error(run("explore", litmus("mail0-holes"), env=env), "CLOISTER_EXEC_PATH",
                          folder)
        alone = os.path.join(folder, "cloister")
        with open(CLI, "rb") as source, open(alone, "wb") as copy:
            copy.write(source.read())
        os.chmod(alone, 0o755)
        check_usage_error(run("explore", litmus("mail0-holes"), program=alone),
                          "not found beside this command", "CLOISTER_EXEC_PATH")
        # What is there, but no program.
        helper = os.path.join(folder, "cloister-explore")
        with open(helper, "w") as f:
            f.write("\x7fELF nothing\n")
        os.chmod(helper, 0o755)
        check_usage_error(run("explore", litmus("mail0-holes"), env=env), helper + ": ")
        env = environment(CLOISTER_EXEC_PATH=os.path.dirname(EXPLORE_CLI))
        check_status(run("explore", litmus("mail0-holes"), program=alone, env=env), 0)


def test_names_of_files_that_come_with_it():
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "mine.litmus"), "w") as f:
            f.write(open(litmus("mail0-holes")).read())
        env = environment(CLOISTER_LITMUS_PATH=folder)
        for command in ("run", "explore"):
            check_status(run(command, "mine", env=env), 0)
            check_status(run(command, "mine.litmus", env=env), 0)
            check_usage_error(run(command, "./mine.litmus", env=env), "./mine.litmus: No such")
            check_usage_error(run(command, "yours", env=env), "yours: No such file")
        # A file in the folder where one stands wins.
        with open(os.path.join(folder, "fault-vs-punch"), "w") as f:
            f.write("bad\n")
        check_usage_error(run("run", "fault-vs-punch", cwd=folder), "fault-vs-punch:1:1:")


def test_output_that_cannot_be_written():
    file = litmus("mail0-holes")
    for args in (["states"], ["states", "--json"], ["--help"], ["--version"], ["doctor"],
                 ["run", "--times", "5", file], ["explore", file], ["explore", "--breaks"],
                 ["explore", "--canonical", file]):
        with open("/dev/full", "w") as full:
            done = check_status(run(*args, stdout=full), 2)
        check_says(done.err, "output could not be written")
        # Closed, so that the first file that the engine opens could become number 1.
        done = run("-c", 'exec "$0" "$@" >&-', CLI, *args, program="/bin/sh")
        check_status(done, 2)
        check_says(done.err, "output could not be written")
    closed = run("-c", 'exec "$0" "$@" <&- >&- 2>&-', CLI, "run", file, program="/bin/sh")
    check_status(closed, 2)


def test_reader_that_goes_away():
    """`cloister states | head -0`: no message but the shell's, no crash."""
    for args in (["states"], ["explore", litmus("mail0-holes")], ["states", "--json"]):
        reader, writer = os.pipe()
        os.close(reader)
        done = run(*args, stdout=writer)
        os.close(writer)
        check(done.status in (2, -13), done)  # SIGPIPE, or an error where that is ignored
        check(done.status != 2 or "could not be written" in done.err, done)


def test_plain_when_no_terminal():
    for args in (["states"], ["doctor"], ["run", "--times", "600", litmus("mail0-holes")],
                 ["explore", litmus("fault-vs-punch"), "--preemptions", "1"], ["--help"]):
        done = check_status(run(*args), 0)
        check(ESCAPE not in done.out and "\r" not in done.out, done)
        check(done.err == "", "progress without a terminal: %s" % done)


def test_progress_on_a_terminal():
    done = check_status(run_on_terminal("run", "--times", "600", litmus("mail0-holes")), 0)
    check_says(done.err, "run 256 of 600")
    check(done.err.endswith("\r\x1b[K"), "the progress line stays: %r" % done.err[-80:])
    check(ESCAPE not in done.out and "\r" not in done.out, done)
    done = check_status(run_on_terminal("explore", litmus("convert-vs-convert")), 0)
    check_says(done.err, " runs, up to ")
    check(done.err.endswith("\r\x1b[K"), "the progress line stays: %r" % done.err[-80:])
    dumb = run_on_terminal("run", "--times", "600", litmus("mail0-holes"),
                           env=environment(TERM="dumb"))
    check(dumb.err == "", "progress on a dumb terminal: %s" % dumb)


def test_helper_alone():
    """cloister-explore is a program of its own too."""
    check_status(run("--help", program=EXPLORE_CLI), 0)
    check_status(run(litmus("mail0-holes"), program=EXPLORE_CLI), 0)
    done = run(program=EXPLORE_CLI)
    check_usage_error(done, "no litmus file named")
    check(subprocess.run([EXPLORE_CLI, "--breaks"], stdout=subprocess.DEVNULL).returncode == 0, "")


if __name__ == "__main__":
    sys.exit(main(tests_of(sys.modules[__name__])))
