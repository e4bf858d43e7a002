# make demo       set up .venv and retrieve rain from an embedded granule
# make test       set up .venv and run the whole test suite
# make test-fast  the same without the tests marked slow
# make coverage   the whole test suite with a report of what it covers
# make lint       ruff, mypy and the import layers
# make docs       build the documentation into docs/_build/html
# make bench      measure speed and memory, as ratios
# make fuzz       try MUTANTS=5000 damaged granules; fails where one ends as none may
#
# Each sets up what it needs on a machine with Python 3.11 or newer; a second run reuses it.

# The first Python that is new enough; override with PYTHON=/path/to/python.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
# Where PyTorch's CPU build comes from if pip's own configuration offers none.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
# Processes that share the tests; each has one thread.
WORKERS ?= auto
PYTEST_ARGS ?=
MUTANTS ?= 5000

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install --quiet --constraint constraints.txt
# Tests of one file stay together, for the sake of the fixtures that they share.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

.PHONY: demo test test-fast coverage lint docs bench fuzz constraints clean

demo: .venv/.ready-demo
	@$(BIN)/xrain demo --output demo

test: .venv/.ready-all
	$(PYTEST) $(PYTEST_ARGS)

test-fast: .venv/.ready-all
	$(PYTEST) -m "not slow" $(PYTEST_ARGS)

coverage: .venv/.ready-all
	$(PYTEST) --cov --cov-report=term:skip-covered $(PYTEST_ARGS)

lint: .venv/.ready-all
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: .venv/.ready-all
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html

bench: .venv/.ready-all
	$(BIN)/python tools/bench.py

fuzz: .venv/.ready-all
	OMP_NUM_THREADS=1 XRAIN_OFFLINE=1 $(BIN)/python -m tools.fuzz --mutants $(MUTANTS)

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "xrain needs Python 3.11 or newer; set PYTHON=/path/to/python" >&2; exit 1; }
	$(PYTHON) -m venv .venv

# PyTorch first: its CPU build where there is no GPU, else a fresh machine would load gigabytes
# of CUDA libraries. pip ranks 2.13.0+cpu above 2.13.0, so it is enough that it can be seen.
.venv/.ready-torch: .venv/bin/python constraints.txt
	@echo "Setting up .venv; the first time takes a few minutes."
	@if command -v nvidia-smi >/dev/null 2>&1 || test "$$(uname -s)" != Linux \
		|| $(INSTALL) --dry-run --no-deps --report - torch | grep -q '"version": "[0-9.]*+cpu"'; \
	then $(INSTALL) torch; \
	else $(INSTALL) --extra-index-url $(TORCH_INDEX) torch; fi
	@touch $@

.venv/.ready-demo: .venv/.ready-torch pyproject.toml
	$(INSTALL) --editable '.[plot]'
	@touch $@

.venv/.ready-all: .venv/.ready-torch pyproject.toml
	$(INSTALL) --editable '.[all]'
	@touch $@ .venv/.ready-demo

# Pin what is installed now, without the build tags and addresses of one machine.
constraints: .venv/.ready-all
	$(PIP) freeze --exclude-editable --exclude pip --exclude setuptools \
		| sed -e '/ @ /d' -e 's/+[A-Za-z0-9.]*$$//' > constraints.txt

clean:
	rm -rf .venv demo docs/_build build dist
