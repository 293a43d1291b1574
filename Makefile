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

.PHONY: help setup demo demo-reset test test-interop test-long check checklist reference screenshots docs bench format lock sbom clean

help:
	@echo "make demo         the whole journey on this machine, until Ctrl-C"
	@echo "make test         what a change needs (tests that need Chromium or PostgreSQL say so where it is absent)"
	@echo "make test-interop the tests with the software of others (.ci/install)"
	@echo "make test-long    the tests that take minutes, 200,000 fuzzed requests among them (FUZZ_REQUESTS)"
	@echo "make check        lint, types, import contracts, templates, documentation"
	@echo "make checklist    the tests of each row, written into docs/security.md"
	@echo "make reference    the settings and the commands, written into docs/reference/"
	@echo "make screenshots  the picture of the README, taken from the running service by Chromium"
	@echo "make docs         the documentation as a site, dist/site/docs/index.html"
	@echo "make bench        load scenarios, a table of results"
	@echo "make lock         uv.lock and constraints.txt anew, after a change of dependencies"
	@echo "make sbom         dist/sbom.cdx.json, what an installation holds (CycloneDX)"
	@echo "make demo-reset   forget the demonstration's data"

$(UV_INSTALLED):
	$(PYTHON) -m venv .tools
	.tools/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@touch $@

setup: .venv/.ready

.venv/.ready: pyproject.toml uv.lock | $(UV_INSTALLED)
	$(UV) sync --quiet --locked --compile-bytecode --python $(PYTHON)
	@touch $@

demo: setup
	.venv/bin/idp demo

demo-reset:
	rm -rf var/demo

test: setup
	.venv/bin/pytest -n $(PYTEST_WORKERS) --dist worksteal -m "not long and not interop"

test-interop: setup
	.venv/bin/pytest -n $(PYTEST_WORKERS) --dist worksteal -m interop

test-long: setup
	.venv/bin/pytest -n $(PYTEST_WORKERS) --dist worksteal -m long

check: setup docs
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/djlint --quiet --lint templates clients
	.venv/bin/python -m tests.checklist --check
	.venv/bin/python -m tests.reference --check

checklist: setup
	.venv/bin/python -m tests.checklist

reference: setup
	.venv/bin/python -m tests.reference

screenshots: setup
	.venv/bin/python -m tests.screenshots

# Warnings are errors: a link that leads nowhere, a page that no list of contents names.
docs: setup
	.venv/bin/sphinx-build --quiet --fail-on-warning --keep-going -c docs -d var/doctrees . dist/site

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

clean:
	rm -rf .venv .tools dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
