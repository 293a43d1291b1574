# Everything a fresh machine needs is Python 3.11 or later and make.
PYTHON ?= python3
UV := $(shell command -v uv 2>/dev/null || echo .tools/bin/uv)
PYTEST_WORKERS ?= auto
export UV_PROJECT_ENVIRONMENT := .venv
unexport VIRTUAL_ENV

.PHONY: help setup demo demo-reset test check bench fuzz format clean

help:
	@echo "make demo        the whole journey on this machine, until Ctrl-C"
	@echo "make test        every test (what needs software that is absent says so)"
	@echo "make check       lint, types, import contracts, templates"
	@echo "make bench       load scenarios, a table of results"
	@echo "make fuzz        200,000 right and bent requests, to every route (FUZZ_REQUESTS, FUZZ_SEED)"
	@echo "make demo-reset  forget the demonstration's data"

$(filter .tools/%,$(UV)):
	$(PYTHON) -m venv .tools
	.tools/bin/pip install --quiet --disable-pip-version-check uv

setup: .venv/.ready

.venv/.ready: pyproject.toml uv.lock | $(filter .tools/%,$(UV))
	$(UV) sync --quiet --locked --all-extras --compile-bytecode --python $(PYTHON)
	@touch $@

demo: setup
	.venv/bin/idp demo

demo-reset:
	rm -rf var/demo

test: setup
	.venv/bin/pytest -n $(PYTEST_WORKERS)

check: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/djlint --quiet --lint templates clients

format: setup
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

bench: setup
	.venv/bin/python -m bench

fuzz: setup
	.venv/bin/python -m tests.fuzz --requests $(or $(FUZZ_REQUESTS),200000) $(if $(FUZZ_SEED),--seed $(FUZZ_SEED))

clean:
	rm -rf .venv .tools dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
