#!/bin/sh
# Takes from the Python given what installs and builds: the last stage only runs.
set -eu
python=${1:-python3}
"$python" -m pip uninstall --quiet --yes setuptools wheel pip
