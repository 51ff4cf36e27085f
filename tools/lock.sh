#!/bin/sh
# Resolves pyproject.toml into hashed requirements files for every platform and Python from 3.11 on.
# What is locked stays unless pyproject.toml asks otherwise; `make lock ARGS=--upgrade` takes the newest.
# No file names an index or a host: they are the business of whoever installs.
set -eu
cd "$(dirname "$0")/.."

uv=$(command -v uv || true)
if [ -z "$uv" ]; then
	cache=${XDG_CACHE_HOME:-$HOME/.cache}/kubemirror/uv
	[ -x "$cache/bin/uv" ] || { python3 -m venv "$cache" && "$cache/bin/pip" install --quiet uv; }
	uv=$cache/bin/uv
fi
extra=$*

resolve() {
	# shellcheck disable=SC2086  # the caller's extra words are words
	"$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-emit-find-links --no-header "$@" $extra
}

resolve pyproject.toml --output-file requirements/runtime.txt
# Constrained by runtime: what is tested is what is shipped.
resolve pyproject.toml --group dev --constraint requirements/runtime.txt --output-file requirements/dev.txt
# What drives and judges pages in a browser, on top of dev.
resolve --group browser --constraint requirements/dev.txt --output-file requirements/browser.txt
# The backend alone, for building the wheel in the image.
resolve --group build --constraint requirements/dev.txt --output-file requirements/build.txt
# The Go toolchain that builds the tests' control plane on machines without one.
resolve --group go --output-file requirements/go.txt
