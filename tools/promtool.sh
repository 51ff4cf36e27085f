#!/bin/sh
# Puts promtool into the folder given, unless it is there or on PATH already.
# It is unpacked from Debian's prometheus package, which is not installed: no service, no root needed
# where apt's lists are at hand.
set -eu
bin=$1
command -v promtool >/dev/null && exit 0

remedy() {
	echo "promtool is missing, and tests need it to judge /metrics: $1" >&2
	exit 1
}

command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null ||
	remedy "install Prometheus from your system's packages, so that promtool is on PATH"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
cd "$work"
if ! apt-get download -qq prometheus >log 2>&1; then
	[ "$(id -u)" = 0 ] || remedy "sudo apt-get update && sudo apt-get install -y prometheus"
	apt-get update -qq >log 2>&1 && apt-get download -qq prometheus >log 2>&1 ||
		remedy "apt-get update && apt-get install -y prometheus ($(tail -n 1 log))"
fi
dpkg-deb -x prometheus_*.deb tree
mkdir -p "$bin"
mv tree/usr/bin/promtool "$bin/promtool.new"
mv "$bin/promtool.new" "$bin/promtool"
"$bin/promtool" --version >/dev/null 2>&1 || remedy "the unpacked one does not run here; apt-get install -y prometheus"
