#!/bin/sh
# unpack.sh FOLDER PROGRAM WHAT-FOR PACKAGE [LIBRARY-PACKAGE ... | +]
# Puts PROGRAM into FOLDER/bin, unless it is there or on PATH already. It is unpacked from Debian's PACKAGE, and its
# libraries from the others; with "+" from whatever PACKAGE depends on and this system lacks, and its own files stay
# beside it. None is installed: no service, and no root needed where apt's lists are at hand.
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
whole=
[ "${2:-}" != + ] || whole=yes

fetch() {
	if [ -n "$whole" ]; then
		# shellcheck disable=SC2046  # names of packages are words
		set -- "$package" $(apt-get -qq -s install --no-install-recommends "$package" 2>/dev/null |
			sed -n "s/^Inst \([^ ]*\).*/\1/p" | grep -vx "$package")
	fi
	apt-get download -qq "$@" >log 2>&1
}

if ! fetch "$@"; then
	[ "$(id -u)" = 0 ] || remedy "sudo apt-get update && sudo apt-get install -y $package"
	apt-get update -qq >log 2>&1 && fetch "$@" ||
		remedy "apt-get update && apt-get install -y $package ($(tail -n 1 log))"
fi
for archive in *.deb; do
	dpkg-deb -x "$archive" tree
done
mkdir -p "$folder/bin"
found=$(find tree/usr -type f -name "$program" -perm -u+x -exec ls -S {} + | head -n 1)  # not a script that starts it
if [ -n "$whole" ]; then
	rm -rf "$folder/lib/$program"
	mkdir -p "$folder/lib"
	mv tree "$folder/lib/$program"
	libraries=$(find "$folder/lib/$program/usr/lib" -name '*.so*' -exec dirname {} \; | sort -u | tr '\n' :)
	printf '#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s/%s "$@"\n' \
		"${libraries%:}" "$folder/lib/$program" "${found#tree/}" >"$folder/bin/$program.new"
	chmod 755 "$folder/bin/$program.new"
elif [ $# -gt 1 ]; then
	mkdir -p "$folder/lib/$program"
	find tree/usr/lib -name '*.so*' -exec cp -P {} "$folder/lib/$program" \;
	mv "$found" "$folder/lib/$program/$program"
	printf '#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s/%s "$@"\n' \
		"$folder/lib/$program" "$folder/lib/$program" "$program" >"$folder/bin/$program.new"
	chmod 755 "$folder/bin/$program.new"
else
	mv "$found" "$folder/bin/$program.new"
fi
mv "$folder/bin/$program.new" "$folder/bin/$program"
# Any answer will do (wrk exits with 1 where it tells its version), but for those that say that it cannot run.
"$folder/bin/$program" --version >/dev/null 2>&1 || [ $? -lt 126 ] ||
	remedy "the unpacked one does not run here: apt-get install -y $package"
