#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# setup.sh BUILD_DIR [meson options]: configure a build directory once; quiet unless it fails.
# A directory that another version of the options made is reconfigured. CC chooses the compiler.
set -u

dir=$1
shift
log=$(mktemp) || exit 2
trap 'rm -f "$log"' EXIT
# Kept beside the build, so that a change of options is seen.
wanted="${CC:-cc} $*"
if [ -f "$dir/build.ninja" ] && [ "$(cat "$dir/.options" 2>/dev/null)" = "$wanted" ]; then
	exit 0
fi
rm -rf "$dir"
if ! meson setup "$dir" "$@" >"$log" 2>&1; then
	cat "$log" >&2
	exit 1
fi
echo "$wanted" >"$dir/.options"
