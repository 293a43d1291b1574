# Requirements: Python 3.11 or later, and make.
PYTHON ?= python3
# The version that wrote uv.lock and constraints.txt.
UV_VERSION := 0.13.9
UV := .tools/bin/uv
UV_INSTALLED := .tools/uv-$(UV_VERSION)
PYTEST_WORKERS ?= auto
# How argon2 is compiled. For machines of another kind: make setup ARGON2_CFLAGS="-O3 -march=x86-64-v3"
ARGON2_CFLAGS ?= -O3 -march=native
export UV_PROJECT_ENVIRONMENT := .venv
unexport VIRTUAL_ENV
# Without cached bytecode, each process of the tests would compile the product and the tests again.
unexport PYTHONDONTWRITEBYTECODE

SYNC := sync --quiet --locked --compile-bytecode --python $(PYTHON)
EXPORT := --quiet --frozen --no-dev --extra traces --no-emit-project --no-header --no-annotate --format requirements-txt

.PHONY: help setup demo demo-reset test test-interop test-guide test-long check checklist reference screenshots translations docs bench chaos bench-peers format lock sbom image deb clean

help:
	@echo "make demo         start the demonstration, until Ctrl-C"
	@echo "make test         run the tests that need no other software"
	@echo "make test-interop run the stories in Chromium and the tests with foreign software (.ci/install installs it)"
	@echo "make test-guide   follow the guide of installation on a clean Debian, as root (.ci/install makes it)"
	@echo "make test-long    run the tests that take minutes, with 200,000 fuzzed requests (FUZZ_REQUESTS)"
	@echo "make check        run the linters: style, types, import contracts, templates, documentation"
	@echo "make checklist    write the tests of each row of docs/security.md into docs/reference/tests.md"
	@echo "make reference    write docs/reference/, docs/menaces.md, docs/accessibilite.md and the numbers in docs/bureau/ from the code"
	@echo "make screenshots  take the screenshots of the README and of the desk's guides with Chromium"
	@echo "make translations write the texts of parents' pages and mails into the catalogues of all languages"
	@echo "make docs         build the documentation site, dist/site/docs/index.html"
	@echo "make bench        measure the service under load (BENCH=--quick: a minute; BENCH=--help: options)"
	@echo "make chaos        break parts of the service under load, and say what was lost (CHAOS=--seconds 60)"
	@echo "make bench-peers  install other providers in var/peers and measure them side by side (BENCH, as above)"
	@echo "make lock         write uv.lock and constraints.txt after a change of dependencies"
	@echo "make sbom         write dist/sbom.cdx.json, the list of dependencies (CycloneDX)"
	@echo "make image        build the image of the service with podman (deploy/Containerfile; IMAGE_OPTIONS: options of the build)"
	@echo "make deb          build the Debian package, dist/scolarite-services_*.deb"
	@echo "make demo-reset   end the demonstration and delete its data"

$(UV_INSTALLED):
	$(PYTHON) -m venv .tools
	.tools/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@touch $@

setup: .venv/.ready .venv/.written

# First everything as wheels, then argon2 again from its source, with the locked build tools that are now in .venv.
# Hashing passwords is most of the work of a sign-in, and the wheel, which runs on every CPU, is half as fast. Both files
# have their hash in uv.lock. If the build fails (no C compiler, no Python headers), the wheel stays.
.venv/.ready: pyproject.toml uv.lock | $(UV_INSTALLED)
	$(UV) $(SYNC)
	@CFLAGS="$(ARGON2_CFLAGS)" $(UV) $(SYNC) --no-binary-package argon2-cffi-bindings \
		--no-build-isolation-package argon2-cffi-bindings --reinstall-package argon2-cffi-bindings 2>.tools/argon2.log \
		|| echo "argon2 was not compiled for this CPU, so that sign-ins take longer. See .tools/argon2.log."
	@touch $@

# Installing the sources writes these files too (hatch_build.py); this does so again after a change of one.
.venv/.written: .venv/.ready $(wildcard idp/translations/*/LC_MESSAGES/messages.po) $(wildcard idp/static/*)
	.venv/bin/pybabel --quiet compile --directory idp/translations
	.venv/bin/python -m idp.precompressed
	@touch $@

demo: setup
	.venv/bin/idp demo

demo-reset: setup
	.venv/bin/idp demo --reset

test: setup
	.venv/bin/pytest -n $(PYTEST_WORKERS) --dist worksteal

test-interop: setup
	.venv/bin/pytest -n $(PYTEST_WORKERS) --dist worksteal -m "(interop or browser) and not long"

# As root, so it leaves no files in the sources.
test-guide: setup
	PYTHONDONTWRITEBYTECODE=1 .venv/bin/pytest -m long -p no:cacheprovider tests/packaging/test_guide.py

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

translations: setup
	.venv/bin/python -m tests.catalogues

# Warnings are errors, for example a broken link or a page without a table of contents.
docs: setup
	.venv/bin/sphinx-build --quiet --fail-on-warning --keep-going -c docs -d var/doctrees . dist/site

format: setup
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

bench: setup
	.venv/bin/python -m bench $(BENCH)

chaos: setup
	.venv/bin/python -m bench.chaos $(CHAOS)

bench-peers: setup
	.venv/bin/python -m bench.peers $(BENCH)

# Run it after a change of the dependencies in pyproject.toml. `make setup` reads uv.lock; the wheel includes constraints.txt.
lock: | $(UV_INSTALLED)
	$(UV) lock
	$(UV) export $(EXPORT) --output-file constraints.txt

# The CycloneDX list of dependencies, from an installation of constraints.txt alone with checked hashes.
sbom: setup
	rm -rf var/sbom
	$(UV) venv --quiet --python $(PYTHON) var/sbom
	$(UV) pip install --quiet --python var/sbom --require-hashes --requirement constraints.txt
	mkdir -p dist
	.venv/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --output-format JSON \
		--output-file dist/sbom.cdx.json var/sbom/bin/python
	rm -rf var/sbom

# Any builder of images: make image CONTAINERS=docker. With podman, the second file is beside the first; docker finds it itself.
CONTAINERS ?= podman
IMAGE ?= localhost/scolarite-services:latest
image:
	$(CONTAINERS) build --file deploy/Containerfile $(if $(filter podman,$(CONTAINERS)),--ignorefile deploy/Containerfile.dockerignore) \
		--tag $(IMAGE) $(IMAGE_OPTIONS) .

# A package for the release of Debian whose Python it is built with.
DEBIAN_PYTHON ?= /usr/bin/python3
deb: | $(UV_INSTALLED)
	PATH="$(CURDIR)/.tools/bin:$$PATH" deploy/debian/build.sh dist $(DEBIAN_PYTHON)

clean:
	rm -rf .venv .tools dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
