# One command per intent; .ci/run calls the same. Assumes make, and python3 (3.11 or newer) with venv.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# What `make tools` unpacks lies outside the checkout: a clean clone does not fetch it again.
CACHE  := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/kubemirror
# Named by content, so that neither a fresh clone nor a touched file installs anything twice.
READY  := $(VENV)/.ready-$(shell cat requirements/dev.txt pyproject.toml | cksum | cut -d' ' -f1)
SEEN   := $(VENV)/.browser-$(shell cat requirements/dev.txt requirements/browser.txt | cksum | cut -d' ' -f1)
ARGS   ?=
# Most tests wait for a server: two at a time take half as long. `make test WORKERS=0` runs them one by one.
WORKERS ?= 2

export PATH := $(CACHE)/bin:$(PATH)
export PYTHONUNBUFFERED := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help run test lint format soak bench audit docs screenshots tools lock clean

help:  ## What there is to call
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 13

run: $(READY)  ## Serve the embedded demo cluster on 127.0.0.1:8080 (ARGS="--port 8081" adds flags)
	@exec $(BIN)/kubemirror serve --demo $(ARGS)

test: lint tools  ## Everything: lint, then all tests (ARGS="-k words" selects)
	@$(BIN)/pytest --numprocesses $(WORKERS) $(ARGS)

lint: $(READY)  ## Style, types and the rooms' import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

format: $(READY)  ## Rewrite what ruff can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

soak: $(READY) tools  ## Simulations, real days and clients at length (KUBEMIRROR_SEEDS=5000, KUBEMIRROR_WORD_SECONDS=900)
	@KUBEMIRROR_SEEDS=$${KUBEMIRROR_SEEDS:-2000} KUBEMIRROR_FROZEN_SECONDS=120 KUBEMIRROR_ETCD_GONE_SECONDS=100 \
		$(BIN)/pytest tests/simulation tests/chain tests/discover tests/state tests/days --timeout 0 $(ARGS)
	@KUBEMIRROR_RECHECK=30 $(BIN)/pytest tests/access/test_withdrawn_access_ends_what_is_open.py --timeout 0 $(ARGS)
	@KUBEMIRROR_DARK_SECONDS=60 $(BIN)/pytest tests/browser --timeout 0 $(ARGS)
	@KUBEMIRROR_PUSH_SEEDS=$${KUBEMIRROR_PUSH_SEEDS:-3000} $(BIN)/pytest tests/word/test_streams_keep_their_word.py --timeout 0 $(ARGS)
	@KUBEMIRROR_WORD_SECONDS=$${KUBEMIRROR_WORD_SECONDS:-300} $(BIN)/pytest tests/word/test_streams_outlive_their_mirrors.py --timeout 0 -s $(ARGS)
	@KUBEMIRROR_CLIENT_SECONDS=$${KUBEMIRROR_CLIENT_SECONDS:-300} $(BIN)/pytest tests/clients --timeout 0 -s $(ARGS)
	@KUBEMIRROR_FUZZ_SECONDS=$${KUBEMIRROR_FUZZ_SECONDS:-240} $(BIN)/pytest tests/fuzz --timeout 0 $(ARGS)
	@$(BIN)/python -m tests.cluster build --earlier
	@KUBEMIRROR_EARLIER=kubectl-1.26 $(BIN)/pytest tests/kubectl $(ARGS)

bench: $(READY) tools  ## Measure speed and memory beside others' (VERSION_RS=binary); writes docs/performance.md
	@$(BIN)/python -m bench $(ARGS)

audit: $(READY)  ## Known vulnerabilities of what is locked (asks PyPI), and dist/sbom.json, its CycloneDX bill of materials
	@tools/audit.sh $(BIN) $(ARGS)

docs: $(READY)  ## Write what docs/ repeats from the code
	@$(BIN)/python tools/settings_table.py

screenshots: $(READY) tools  ## Take the pictures in docs/screenshots anew, of the demo cluster
	@$(BIN)/python tools/screenshots.py $(ARGS)

tools: $(READY) $(SEEN)  ## Fetch or build what tests run and pip has not: promtool, wrk, nginx, Chromium, a control plane
	@tools/unpack.sh $(CACHE) promtool "tests need it to judge /metrics" prometheus
	@tools/unpack.sh $(CACHE) nginx "push is tested behind it" nginx
	@tools/unpack.sh $(CACHE) chromium-headless-shell "pages are tested in it" chromium-headless-shell +
	@tools/unpack.sh $(CACHE) wrk "the bench loads servers with it" wrk libluajit-5.1-2
	@$(BIN)/python -m tests.cluster build

lock:  ## Resolve pyproject.toml anew into requirements/
	@tools/lock.sh $(ARGS)

clean:  ## Remove what the other commands made in this checkout
	rm -rf $(VENV) dist build .bench .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find service tests bench tools -name __pycache__ -prune -exec rm -rf {} +

# Playwright, axe-core and the Nu HTML Checker: 120 MB that only tests, bench and pictures need.
$(SEEN): $(READY) requirements/browser.txt
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements/browser.txt
	@rm -f $(VENV)/.browser-*
	@touch $@

# Nothing is built in isolation: hatchling comes from the lock, with its hash, like everything else.
# Progress is for people at a terminal: the first line that `make run` prints is the URL.
$(READY): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "kubemirror needs Python 3.11 or newer: make PYTHON=python3.12 ..." >&2; exit 1; }
	@[ ! -t 2 ] || echo "Installing requirements/dev.txt into $(VENV) ..." >&2
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV) \
		|| { echo "no venv module: apt-get install -y python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@rm -f $(VENV)/.ready-*
	@touch $@
