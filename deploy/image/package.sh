#!/bin/sh
# Puts kubemirror itself into the environment that dependencies.sh made: its wheel, built with the locked backend
# in an environment of its own, then bytecode for everything, since nothing can be written where it will run.
set -eu
prefix=$1
python=${PYTHON:-python3}
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$python" -m venv --without-pip "$work/backend"
"$python" -m pip --python "$work/backend" install --quiet --require-hashes --only-binary :all: -r requirements/build.txt
"$work/backend/bin/python" -m hatchling build -t wheel -d "$work" >&2
"$python" -m pip --python "$prefix" install --quiet --no-compile --no-deps --no-index "$work"/kubemirror-*.whl
install -m 644 deploy/image/healthy.py "$prefix/healthy.py"
# By content and never checked again: copying the tree must not make it stale.
"$prefix/bin/python" -m compileall -q --invalidation-mode unchecked-hash "$prefix/lib"
