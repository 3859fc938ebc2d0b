# make demo   the atlas and report of what is bundled, in demo/
# make test   everything that has to hold: format, lint, types, tests
# make lint   the first three of those
# make format lays out the code
# make docs   the generated parts of docs/, and the site in docs/_build
# make figures   the figures of the experiments' pages, in a while
# make results   docs/results.md from the files in docs/results/
# Each makes its own virtual environment, .venv, when it is missing.

PYTHON ?= python3
BIN := .venv/bin
UV := $(or $(shell command -v uv 2>/dev/null),$(BIN)/uv)

# Installs with uv, which takes a third of pip's time: the uv on PATH, else one in .venv; with pip where uv fails.
define install
	@{ test -x $(UV) || $(BIN)/python -m pip install --quiet uv; } \
	    && $(UV) pip install --quiet --python $(BIN)/python -e $(1) \
	    || { echo "uv did not install it; trying pip, which takes longer"; $(BIN)/python -m pip install --quiet -e $(1); }
endef

.PHONY: demo test lint format docs figures results chromium

demo: .venv/installed
	$(BIN)/convscope demo

test: lint chromium
	$(BIN)/python -m pytest

lint: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/installed-test
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

docs: .venv/installed-test
	$(BIN)/python docs/generate.py
	$(BIN)/sphinx-build -W --keep-going -q docs docs/_build
	@echo "docs/_build/index.html"

figures: .venv/installed-test
	$(BIN)/python docs/figures.py

results: .venv/installed
	$(BIN)/python docs/results.py

.venv/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: $(PYTHON) is older than Python 3.11; name another with make PYTHON=..." >&2; exit 2; }
	@echo "installing into .venv; this takes a few minutes"
	@test -x $(BIN)/pip || { rm -rf .venv; $(PYTHON) -m venv .venv; }
	$(call install,.)
	touch $@

.venv/installed-test: .venv/installed
	$(call install,'.[test]')
	touch $@

# The browser tests skip, and say so, where there is no Chromium and no right to install one.
chromium:
	@command -v chromium >/dev/null || { \
	    [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update >/dev/null 2>&1 \
	    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium >/dev/null 2>&1; \
	} || echo "no chromium here: the browser tests will be skipped"
