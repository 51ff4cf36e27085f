#!/bin/sh
# Takes from Python (the one in PYTHON) what installs and builds: the last stage only runs.
set -eu
"${PYTHON:-python3}" -m pip uninstall --quiet --yes --root-user-action=ignore setuptools wheel pip
