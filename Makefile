# SPDX-License-Identifier: Apache-2.0
# A thin front of meson and ninja; docs/adr/0001-meson-behind-make.md says why. `make help` lists the targets.

PREFIX ?= /usr/local
FUZZ_SECONDS ?= 30

need := tools/ensure-packages.sh
base := build-essential python3 meson ninja-build pkg-config liburcu-dev libjson-c-dev libssl-dev
run_tests := tools/run-tests.py

.DEFAULT_GOAL := help
.PHONY: demo test bench asan tsan fuzz cov fmt check build release install clean help

demo: release ## a tour of the engine on this machine, under 30 s
	@./build/release/src/cloister demo $(ARGS)

test: ## everything: gcc, clang, sanitizers, static checks, fuzz corpus
	@echo "test: build with gcc and clang, run all tests, ASan+UBSan, TSan, the static checks"
	@$(need) $(base) clang clang-format
	@$(run_tests) gcc asan tsan clang

bench: ## measure fault, conversion, attribute and zap, each against a peer
	@echo "bench: build optimised and measure; close other programs for steady numbers"
	@$(need) $(base)
	@tools/setup.sh build/release --buildtype=release -Dtests=false -Dwerror=false
	@ninja -C build/release --quiet build.ninja >/dev/null
	@ninja -C build/release --quiet
	@meson test -C build/release --no-rebuild --benchmark --num-processes 1 --verbose

asan: ## tests under address and undefined-behaviour sanitizers (gcc)
	@echo "asan: all tests under AddressSanitizer and UndefinedBehaviorSanitizer"
	@$(need) $(base)
	@$(run_tests) asan

tsan: ## threaded tests under the thread sanitizer (gcc)
	@echo "tsan: the suite 'threads' under ThreadSanitizer"
	@$(need) $(base)
	@$(run_tests) tsan

fuzz: ## run each fuzz target for FUZZ_SECONDS (30) with libFuzzer
	@echo "fuzz: each target of tests/fuzz for $(FUZZ_SECONDS) s with libFuzzer, ASan and UBSan"
	@$(need) $(base) clang libclang-rt-dev
	@FUZZ_SECONDS=$(FUZZ_SECONDS) tools/run-fuzz.sh

cov: ## line and branch coverage of src/, as text and HTML in build/cov/coverage
	@echo "cov: run the tests with coverage counters and report"
	@$(need) $(base) gcovr
	@$(run_tests) cov
	@tools/report-coverage.sh build/cov

fmt: ## format the C sources in place
	@echo "fmt: clang-format over all C sources"
	@$(need) python3 clang-format
	@tools/check-format.py --fix

check: ## the static checks only: includes, headers, text rules, format, errno coverage
	@echo "check: the static checks"
	@$(need) $(base) clang clang-format
	@$(run_tests) static

build: ## build everything with debug information into build/gcc
	@echo "build: library, commands and tests into build/gcc"
	@$(need) $(base)
	@tools/setup.sh build/gcc
	@ninja -C build/gcc --quiet

release: ## build the optimised library and commands into build/release
	@echo "release: library and commands, optimised, into build/release"
	@$(need) $(base)
	@tools/setup.sh build/release --buildtype=release -Dtests=false -Dwerror=false
	@ninja -C build/release --quiet build.ninja >/dev/null
	@ninja -C build/release --quiet

install: release ## install the optimised build under PREFIX (/usr/local); DESTDIR is honoured
	@echo "install: into $(DESTDIR)$(PREFIX)"
	@meson configure build/release --prefix=$(PREFIX)
	@meson install -C build/release --quiet

clean: ## remove build/
	@echo "clean: remove build/"
	@rm -rf build

help: ## this list
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18
