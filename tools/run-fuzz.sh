#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Build the fuzz targets with libFuzzer and run each for FUZZ_SECONDS over its corpus. New inputs go to
# build/fuzz/corpus, crashing ones to build/fuzz/crashes; the corpus in git is only read.
set -eu

seconds=${FUZZ_SECONDS:-30}
build=build/fuzz

CC=clang tools/setup.sh $build -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false
targets=$(meson introspect $build --targets | python3 -c '
import json, sys
for t in json.load(sys.stdin):
    if t["type"] == "executable" and t["name"].startswith("fuzz-"):
        print(t["name"])')
if [ -z "$targets" ]; then
	echo "fuzz: no target is listed in tests/fuzz/meson.build" >&2
	exit 1
fi
mkdir -p $build/crashes
failed=0
for target in $targets; do
	name=${target#fuzz-}
	ninja -C $build --quiet "tests/fuzz/$target"
	mkdir -p "$build/corpus/$name" "tests/fuzz/corpus/$name"
	# Files of the project that are inputs too ('seeds' in tests/fuzz/meson.build).
	seeds=
	[ "$name" != litmus ] || seeds=litmus
	echo "fuzz: $name for $seconds s"
	if ! UBSAN_OPTIONS=print_stacktrace=1 "$build/tests/fuzz/$target" \
		-max_total_time="$seconds" -timeout=10 -rss_limit_mb=4096 -print_final_stats=1 \
		-artifact_prefix="$build/crashes/$name-" \
		"$build/corpus/$name" "tests/fuzz/corpus/$name" $seeds >"$build/$name.log" 2>&1; then
		failed=1
		tail -n 60 "$build/$name.log"
		echo "fuzz: $name FAILED, input in $build/crashes"
		continue
	fi
	sed -n 's/^stat::\([a-z_]*\): *\([0-9]*\)/\1 \2/p' "$build/$name.log" |
		awk -v name="$name" '
			$1 == "number_of_executed_units" { runs = $2 }
			$1 == "new_units_added" { added = $2 }
			END { printf "fuzz: %s: %d runs, %d new inputs, no finding\n", name, runs, added }'
done
exit $failed
