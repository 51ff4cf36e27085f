#!/bin/sh
# unpack.sh FOLDER PROGRAM WHAT-FOR PACKAGE [LIBRARY-PACKAGE ...]
# Puts PROGRAM into FOLDER/bin, unless it is there or on PATH already. It is unpacked from Debian's PACKAGE, and its
# libraries from the others; none is installed: no service, and no root needed where apt's lists are at hand.
set -eu
folder=$1 program=$2 purpose=$3
shift 3
package=$1
command -v "$program" >/dev/null && exit 0

remedy() {
	echo "$program is missing, and $purpose: $1" >&2
	exit 1
}

command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null ||
	remedy "install $package from your system's packages, so that $program is on PATH"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
cd "$work"
if ! apt-get download -qq "$@" >log 2>&1; then
	[ "$(id -u)" = 0 ] || remedy "sudo apt-get update && sudo apt-get install -y $package"
	apt-get update -qq >log 2>&1 && apt-get download -qq "$@" >log 2>&1 ||
		remedy "apt-get update && apt-get install -y $package ($(tail -n 1 log))"
fi
for archive in *.deb; do
	dpkg-deb -x "$archive" tree
done
mkdir -p "$folder/bin"
if [ $# -gt 1 ]; then
	mkdir -p "$folder/lib/$program"
	find tree/usr/lib -name '*.so*' -exec cp -P {} "$folder/lib/$program" \;
	mv "tree/usr/bin/$program" "$folder/lib/$program/$program"
	printf '#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s/%s "$@"\n' \
		"$folder/lib/$program" "$folder/lib/$program" "$program" >"$folder/bin/$program.new"
	chmod 755 "$folder/bin/$program.new"
else
	mv "tree/usr/bin/$program" "$folder/bin/$program.new"
fi
mv "$folder/bin/$program.new" "$folder/bin/$program"
# Any answer will do (wrk exits with 1 where it tells its version), but for those that say that it cannot run.
"$folder/bin/$program" --version >/dev/null 2>&1 || [ $? -lt 126 ] ||
	remedy "the unpacked one does not run here: apt-get install -y $package"
