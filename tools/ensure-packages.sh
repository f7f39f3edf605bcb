#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Install the Debian packages named on the command line when they are missing.
# Exit 0: all are there. Exit 2: they are not, and the command to run was printed.
set -u

if ! command -v dpkg-query >/dev/null 2>&1; then
	# Not a Debian system: the names mean nothing here, the build itself will say what it lacks.
	echo "packages: no dpkg-query on this system; needed by Debian's names: $*" >&2
	exit 0
fi

missing=
for package in "$@"; do
	state=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)
	[ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
	as_root=
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
	as_root="sudo -n"
else
	echo "packages: missing:$missing" >&2
	echo "packages: run: sudo apt-get update && sudo apt-get install -y$missing" >&2
	exit 2
fi

log=$(mktemp) || exit 2
trap 'rm -f "$log"' EXIT

install_missing()
{
	# shellcheck disable=SC2086 # words are meant to split
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
		-o DPkg::Lock::Timeout=300 $missing >"$log" 2>&1
}

echo "packages: installing$missing"
# The first try uses the lists that are there; only when that fails are they fetched.
if ! install_missing; then
	# shellcheck disable=SC2086
	$as_root apt-get -o DPkg::Lock::Timeout=300 update >"$log" 2>&1 && install_missing || {
		tail -n 20 "$log" >&2
		echo "packages: could not install; run:" \
			"sudo apt-get update && sudo apt-get install -y$missing" >&2
		exit 2
	}
fi
