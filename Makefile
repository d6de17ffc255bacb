# make demo    from nothing: a local Pleo, OAuth, Dagster, DuckDB, and the result
# make ui      the Dagster UI on the demo's data
# make test    the tests
# make check   linters, types, import floors and all tests, the slow ones too
# make proof   the table of docs/credentials-proof.md at its full counts: over an hour
# make soak    an hour of faults and kills on one grant, judged by the sandbox's counters
# make clean   removes everything that these commands made
#
# Each does its own set-up, in .venv, from requirements.lock; PYTHON=... picks the interpreter.

PYTHON ?= python3
WORKERS ?= 3
BIN := .venv/bin
READY := .venv/.ready
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

.PHONY: help demo ui test check proof soak clean
.DELETE_ON_ERROR:

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

demo: $(READY)
	@$(BIN)/pleo-connector demo

ui: $(READY)
	@$(BIN)/pleo-connector ui

test: $(READY)
	$(PYTEST)

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	PLEO_TEST_FULL=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "slow or not slow" --timeout 900

proof: $(READY)
	$(BIN)/python -m benchmarks.credentials --write docs/credentials-proof.md

soak: $(READY)
	PLEO_SOAK_SECONDS=3600 $(BIN)/python -m pytest -n 0 -m slow --timeout 8000 tests/auth/test_storms.py::test_soak

# A venv is made anew rather than mended: what is in it is what the lock says.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2> /dev/null || { \
	  echo "pleo-connector needs Python 3.11 to 3.14, and '$(PYTHON)' is $$($(PYTHON) --version 2> /dev/null || echo not an interpreter here)." >&2; \
	  echo "Name another one, for example: make $(or $(MAKECMDGOALS),demo) PYTHON=python3.12" >&2; exit 1; }
	@echo "Setting up .venv from requirements.lock: about a minute, once."
	@rm -rf .venv && $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --require-hashes -r requirements.lock > .venv/install.log 2>&1 \
	  && $(BIN)/python -m pip install --no-deps --no-build-isolation --no-index -e . >> .venv/install.log 2>&1 \
	  || { cat .venv/install.log >&2; exit 1; }
	@touch $@

clean:
	rm -rf .venv .venv-oldest .demo .dagster_home dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
