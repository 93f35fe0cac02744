# Each verb sets up what it needs in .venv, which is rebuilt only when its inputs change.
PYTHON ?= python3
BIN := .venv/bin
INPUTS := pyproject.toml constraints.txt
BROWSER := $(BIN)/python -m pytest -m "browser and not slow" -rs
# A worker for every processor: each runs an app and a Chromium, which wait for one another.
WORKERS = $$($(BIN)/python -c 'import os; print(min(8, os.cpu_count() or 1))')

# Compiled modules are kept even where the environment forbids it, else every worker and every child
# process of a test compiles them again; make clean removes them.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help demo app test check bench browser trust clean

help:
	@echo "make demo    run experiments/quickstart.yaml on a real model"
	@echo "make test    run the tests; in Chromium, where it is installed, one of each tab"
	@echo "make check   format, lint, types, import layers"
	@echo "make bench   compare speed and numbers with other tools"
	@echo "make trust   the long campaigns: kills, faults, fuzzing, how often intervals hold"
	@echo "make app     open the web workbench on this machine"
	@echo "make browser run all tests of the web workbench in Chromium"
	@echo "make clean   remove .venv, caches and runs"

.venv/.made: $(INPUTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	rm -rf .venv
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[demo]'
	@touch $@

.venv/.with-%: .venv/.made
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[$*]'
	@touch $@

demo: .venv/.made
	$(BIN)/icl run experiments/quickstart.yaml

app: .venv/.made .venv/.with-app
	$(BIN)/python app.py

test: .venv/.made .venv/.with-test-browser
	$(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile
	$(BROWSER) tests/browser/test_tabs.py

check: .venv/.made .venv/.with-check
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

bench: .venv/.made .venv/.with-bench
	$(BIN)/python -m benchmarks

browser: .venv/.made .venv/.with-test-browser
	$(BROWSER) tests/browser -n $(WORKERS) --dist loadfile

trust: .venv/.made .venv/.with-test-browser
	$(BIN)/python -m pytest -m slow

clean:
	rm -rf .venv runs build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
