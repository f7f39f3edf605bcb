#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What `meson install` puts down is complete: programs of others build against it, and it runs there."""
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

from clitest import (CLI, EXAMPLE_SAYS, ROOT, Skip, check, check_says, check_status, environment,
                     main, run)

BUILD = os.path.dirname(os.path.dirname(os.path.abspath(CLI or "/x/y")))
EXAMPLE = os.path.join(ROOT, "examples", "convert.c")


def tool(*args, **options):
    """Runs a program of the build machine; its output."""
    done = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          **options)
    check(done.returncode == 0, "%s: %s\n%s" % (" ".join(args), done.returncode, done.stdout))
    return done.stdout


class Installed:
    """A DESTDIR with everything in it."""

    def __init__(self, root):
        self.root = root

    def install(self):
        for name in ("meson", "pkg-config"):
            if not shutil.which(name):
                raise Skip("no " + name)
        # Without a build: the targets that it installs are dependencies of this test.
        tool("meson", "install", "-C", BUILD, "--no-rebuild", "--quiet",
             env=environment(DESTDIR=self.root))

    def find(self, pattern):
        """The file whose path ends so."""
        files = [os.path.join(d, n) for d, _, names in os.walk(self.root) for n in names]
        if not files:
            raise Skip("nothing was installed")
        found = [f for f in files if re.search("/%s$" % pattern, f)]
        check(len(found) == 1, "%d files are called %s" % (len(found), pattern))
        return found[0]

    def pkg_config(self, *options):
        """Flags as somebody gets them, with the paths of the DESTDIR."""
        env = environment(PKG_CONFIG_PATH=os.path.dirname(self.find(r"cloister\.pc")),
                          PKG_CONFIG_SYSROOT_DIR=self.root)
        return shlex.split(tool("pkg-config", *options, "cloister", env=env))


def tests(at):
    def install():
        at.install()

    def everything_is_there():
        for pattern in ("bin/cloister", "bin/cloister-explore", r"libcloister\.so\.0",
                        r"libcloister\.a", r"cloister/cloister\.h", r"cloister/vcpu\.h", r"cloister\.pc",
                        r"litmus/fault-vs-punch\.litmus", r"man1/cloister\.1",
                        r"man1/cloister-explore\.1", r"man3/libcloister\.3",
                        r"man5/cloister-litmus\.5"):
            at.find(pattern)

    def version_is_one():
        version = run("--version").out.split()[1]
        check(at.pkg_config("--modversion") == [version], version)

    def build_and_run(name, text, link):
        path = os.path.join(at.root, name)
        with open(path + ".c", "w") as f:
            f.write(text)
        tool(os.environ.get("CC", "cc"), "-Wall", "-Wextra", "-Werror", "-o", path, path + ".c",
             *link())
        lib = os.path.dirname(at.find(r"libcloister\.so\.0"))
        return check_status(run(program=path, env=environment(LD_LIBRARY_PATH=lib)), 0).out

    def example(link):
        with open(EXAMPLE, encoding="utf-8") as f:
            out = build_and_run("convert", f.read(), link)
        check(out == EXAMPLE_SAYS, out)

    def shared():
        check_says(tool("sed", "-n", r"s/^ \*   \(cc .*\)/\1/p", EXAMPLE),
                   "$(pkg-config --cflags --libs cloister)")
        example(lambda: at.pkg_config("--cflags", "--libs"))

    def static():
        """The archive and what it needs, as cloister.pc says it."""
        def link():
            libs = [f for f in at.pkg_config("--libs", "--static") if f.startswith("-l")]
            check("-lurcu-bp" in libs, libs)
            libs.remove("-lcloister")
            return at.pkg_config("--cflags") + [at.find(r"libcloister\.a")] + libs
        example(link)

    def man_example():
        with open(os.path.join(ROOT, "docs", "man", "libcloister.3"), encoding="utf-8") as f:
            text = re.search(r"^\.EX\n(.*?)^\.EE$", f.read(), re.MULTILINE | re.DOTALL).group(1)
        out = build_and_run("shown", text.replace("\\-", "-").replace("\\e", "\\"),
                            lambda: at.pkg_config("--cflags", "--libs"))
        check(out == "the host reads: secret\n", out)

    def commands_run_there():
        """Beside its helper; the litmus files by CLOISTER_LITMUS_PATH, as the prefix is moved."""
        program = at.find("bin/cloister")
        env = environment(CLOISTER_LITMUS_PATH=os.path.dirname(
            at.find(r"litmus/fault-vs-punch\.litmus")))
        check_says(run("--help", program=program, env=env).out,
                   "Litmus files: " + env["CLOISTER_LITMUS_PATH"])
        check_status(run("explore", "--preemptions=1", "fault-vs-punch", program=program, env=env),
                     0)
        check_status(run("run", "--times=10", "fault-vs-punch", program=program, env=env), 0)

    return [("meson install", install), ("everything is there", everything_is_there),
            ("one version", version_is_one), ("the example, shared", shared),
            ("the example, static", static), ("the example of the man page", man_example),
            ("the commands run there", commands_run_there)]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(main(tests(Installed(folder))))
