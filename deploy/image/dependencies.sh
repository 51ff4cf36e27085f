#!/bin/sh
# A virtual environment in the folder given, with what requirements/runtime.txt locks, and nothing else: no pip.
# Wheels only: nothing is compiled, so no compiler is needed. PYTHON makes it, and has pip.
set -eu
prefix=$1
python=${PYTHON:-python3}
cd "$(dirname "$0")/../.."

"$python" -m venv --without-pip "$prefix"
"$python" -m pip --python "$prefix" install --quiet --no-compile --require-hashes --only-binary :all: -r requirements/runtime.txt
