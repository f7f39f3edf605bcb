#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# report-coverage.sh BUILD_DIR: coverage of src/ (without its tests) as text and HTML.
#
# The two builds of the engine are reported apart: one line of source can be two things in them, and
# gcovr 5 stops at that.
set -eu

report()
{
	name=$1
	shift
	mkdir -p "$build/coverage/$name"
	echo "cov: $name"
	gcovr --root . --filter src/ --exclude 'src/.*/test_.*' --exclude-unreachable-branches \
		--html-details "$build/coverage/$name/index.html" --txt "$build/coverage/$name.txt" \
		--json-summary "$build/coverage/$name.json" --print-summary "$@"
}

build=$1
report threads "$build/src/libcloister_test.a.p" "$build/src/cloister.p"
report explorer "$build/src/libcloister_explore.a.p" "$build/src/cloister-explore.p"
echo "cov: by file in $build/coverage/*.txt, by line in $build/coverage/*/index.html"
