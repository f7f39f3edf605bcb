# SPDX-License-Identifier: Apache-2.0
"""What the tests of the command share: start it, look at what it said, report in TAP."""
import json
import os
import pty
import re
import select
import subprocess
import sys
import time
import traceback

ROOT = os.path.abspath(os.environ.get("CLO_SOURCE_ROOT") or
                       os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
CLI = os.environ.get("CLO_CLI")
EXPLORE_CLI = os.environ.get("CLO_EXPLORE_CLI")
LITMUS = os.path.join(ROOT, "litmus")
TIMEOUT = 240  # of one command; a loaded machine with sanitizers is slow
ESCAPE = "\x1b"
# What examples/convert.c prints.
EXAMPLE_SAYS = """\
private:                 host reads: Bad address
shared by the guest:     host reads: secret
private again:           host reads: Bad address
                         guest reads: answer
at the end:              0 pages backed twice, 0 pins left
"""


class Skip(Exception):
    """Raised by a test that cannot run here; the text is the reason."""


class Done:
    """How a command ended."""

    def __init__(self, args, status, out, err):
        self.args, self.status, self.out, self.err = args, status, out, err

    def __str__(self):
        return "%s: status %s\n--- stdout\n%s\n--- stderr\n%s" % (
            " ".join(self.args), self.status, self.out[-4000:], self.err[-4000:])

    def json(self):
        try:
            return json.loads(self.out)
        except ValueError as error:
            raise AssertionError("no JSON (%s): %s" % (error, self))


def environment(**changes):
    """The environment without what would lead the command elsewhere; None takes a name out."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("CLOISTER_")}
    for name, value in changes.items():
        if value is None:
            env.pop(name, None)
        else:
            env[name] = value
    return env


def run(*args, program=None, env=None, timeout=TIMEOUT, **options):
    """Runs the command (or another program) with args; stdout and stderr as text."""
    command = [program or CLI] + [str(a) for a in args]
    options.setdefault("stdin", subprocess.DEVNULL)
    options.setdefault("stdout", subprocess.PIPE)
    options.setdefault("stderr", subprocess.PIPE)
    done = subprocess.run(command, env=env or environment(), text=True, errors="replace",
                          timeout=timeout, **options)
    return Done(command, done.returncode, done.stdout or "", done.stderr or "")


def run_on_terminal(*args, env=None, timeout=TIMEOUT):
    """The same with stderr on a terminal; stdout stays a pipe, and is short enough for one."""
    try:
        master, slave = pty.openpty()
    except OSError as error:
        raise Skip("no pseudo-terminal: %s" % error)
    command = [CLI] + [str(a) for a in args]
    process = subprocess.Popen(command, env=env or environment(TERM="xterm"), text=True,
                               errors="replace", stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=slave)
    os.close(slave)
    said, end = b"", time.monotonic() + timeout
    while time.monotonic() < end:
        if not select.select([master], [], [], 1)[0]:
            continue
        try:
            piece = os.read(master, 65536)
        except OSError:  # the last user of the terminal is gone
            break
        if not piece:
            break
        said += piece
    out = process.communicate(timeout=timeout)[0]
    os.close(master)
    return Done(command, process.returncode, out, said.decode(errors="replace"))


def check(good, what):
    if not good:
        raise AssertionError(str(what))


def check_status(done, status):
    check(done.status == status, "status %d was expected; %s" % (status, done))
    return done


def check_says(text, *parts):
    for part in parts:
        check(part in text, "%r is not in:\n%s" % (part, text))


def check_usage_error(done, *parts):
    """Status 2, nothing on stdout, and a message that is about this."""
    check_status(done, 2)
    check(done.out == "", "something on stdout: %s" % done)
    check_says(done.err, *parts)


def check_keys(value, keys, where):
    check(isinstance(value, dict), "%s is no object: %r" % (where, value))
    missing = [k for k in keys if k not in value]
    check(not missing, "%s lacks %s: %r" % (where, missing, value))


def litmus_files():
    """Names without .litmus, sorted."""
    return sorted(n[:-len(".litmus")] for n in os.listdir(LITMUS) if n.endswith(".litmus"))


def litmus(name):
    return os.path.join(LITMUS, name + ".litmus")


def replay_id(text):
    match = re.search(r"--replay (\S+)", text)
    check(match, "no --replay in:\n%s" % text)
    return match.group(1)


def main(tests):
    """Runs (name, function) pairs; the exit status is 0 when none failed."""
    if not CLI or not EXPLORE_CLI:
        print("Bail out! CLO_CLI and CLO_EXPLORE_CLI must name the programs")
        return 2
    print("1..%d" % len(tests))
    failed = 0
    for number, (name, function) in enumerate(tests, 1):
        start, note = time.monotonic(), ""
        try:
            function()
            verdict = "ok"
        except Skip as reason:
            verdict, note = "ok", " # SKIP %s" % reason
        except Exception:  # whatever it is, the other tests still run
            verdict = "not ok"
            failed += 1
            for line in traceback.format_exc().splitlines():
                print("# " + line)
        print("%s %d - %s%s" % (verdict, number, name, note))
        if not note:
            print("# took %.1f s" % (time.monotonic() - start))
        sys.stdout.flush()
    return 1 if failed else 0


def tests_of(module):
    """All functions test_* of a module, in the order of the file."""
    return [(name[5:].replace("_", " "), f) for name, f in vars(module).items()
            if name.startswith("test_") and callable(f)]
