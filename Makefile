# Everything a fresh machine needs is Python 3.11 or later and make.
PYTHON ?= python3
# The one that uv.lock and constraints.txt were written with, whatever the machine has.
UV_VERSION := 0.13.9
UV := .tools/bin/uv
UV_INSTALLED := .tools/uv-$(UV_VERSION)
PYTEST_WORKERS ?= auto
export UV_PROJECT_ENVIRONMENT := .venv
unexport VIRTUAL_ENV

EXPORT := --quiet --frozen --no-dev --no-emit-project --no-header --no-annotate --format requirements-txt

.PHONY: help setup demo demo-reset test check bench fuzz format lock sbom clean

help:
	@echo "make demo        the whole journey on this machine, until Ctrl-C"
	@echo "make test        every test (what needs software that is absent says so)"
	@echo "make check       lint, types, import contracts, templates"
	@echo "make bench       load scenarios, a table of results"
	@echo "make fuzz        200,000 right and bent requests, to every route (FUZZ_REQUESTS, FUZZ_SEED)"
	@echo "make lock        uv.lock and constraints.txt anew, after a change of dependencies"
	@echo "make sbom        dist/sbom.cdx.json, what an installation holds (CycloneDX)"
	@echo "make demo-reset  forget the demonstration's data"

$(UV_INSTALLED):
	$(PYTHON) -m venv .tools
	.tools/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@touch $@

setup: .venv/.ready

.venv/.ready: pyproject.toml uv.lock | $(UV_INSTALLED)
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

# After a change of the dependencies in pyproject.toml: what is installed, and what the wheel ships with.
lock: | $(UV_INSTALLED)
	$(UV) lock
	$(UV) export $(EXPORT) --output-file constraints.txt

# A CycloneDX list of all that an installation holds, made from one that constraints.txt alone made, hashes checked.
sbom: setup
	rm -rf var/sbom
	$(UV) venv --quiet --python $(PYTHON) var/sbom
	$(UV) pip install --quiet --python var/sbom --require-hashes --requirement constraints.txt
	mkdir -p dist
	.venv/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --output-format JSON \
		--output-file dist/sbom.cdx.json var/sbom/bin/python
	rm -rf var/sbom

fuzz: setup
	.venv/bin/python -m tests.fuzz --requests $(or $(FUZZ_REQUESTS),200000) $(if $(FUZZ_SEED),--seed $(FUZZ_SEED))

clean:
	rm -rf .venv .tools dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
