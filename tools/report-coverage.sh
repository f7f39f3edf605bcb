#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# report-coverage.sh BUILD_DIR: coverage of src/ (without its tests) as text and HTML.
set -eu

mkdir -p "$1/coverage"
gcovr --root . --filter src/ --exclude 'src/.*/test_.*' --exclude-unreachable-branches \
	--gcov-ignore-errors=no_working_dir_found \
	--html-details "$1/coverage/index.html" --txt "$1/coverage/summary.txt" \
	--json-summary "$1/coverage/summary.json" --txt-summary "$1"
echo "cov: by file in $1/coverage/summary.txt, by line in $1/coverage/index.html"
