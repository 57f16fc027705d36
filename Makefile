# Two commands do everything: `make demo` and `make test`. Each sets up what it needs.
PYTHON ?= python3
BIN := .venv/bin
DEMO := demo
# NiiVue, which draws scans in `gynbtnet review` on a graphics card; see package.json. A 2D canvas does without npm.
NIIVUE := $(if $(shell command -v npm),node_modules/.package-lock.json)

.PHONY: install install-dev demo test test-all coverage lint style types bench docs clean

install: .venv/installed
install-dev: .venv/installed-dev

# torch first, at the version that the tests ran with: pip takes a CPU build if its index has one, and no later
# installation replaces it. For a CUDA build, put its version into constraints.txt.
.venv/installed: pyproject.toml constraints.txt $(NIIVUE)
	@test -d node_modules/@niivue || echo "npm could not bring NiiVue: gynbtnet review will draw scans on a 2D canvas."
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[train,review]"
	touch $@

node_modules/.package-lock.json: package.json package-lock.json
	-npm ci --silent --ignore-scripts --omit=optional --no-audit --no-fund

# What tests and benchmarks also need, including the libraries that they compare with.
.venv/installed-dev: .venv/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

demo: install
	$(BIN)/gynbtnet phantom $(DEMO)/phantom --nested --patients 20 --fractions 2 --jobs 2
	$(BIN)/gynbtnet run demo --out $(DEMO)/experiment --cohort $(DEMO)/phantom/brachytherapy \
	    --unlabelled $(DEMO)/phantom/unlabelled --supervised $(DEMO)/phantom/organs --jobs 2
	$(BIN)/gynbtnet predict $(DEMO)/experiment/runs/task $(DEMO)/phantom/brachytherapy/PHANTOM-001/fraction-1 \
	    --out $(DEMO)/contours
	@echo "To look at a contour and correct it: $(BIN)/gynbtnet review $(DEMO)/contours/patient-001_f1"

lint: style types

style: install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python tools/plain_words.py

types: install-dev
	$(BIN)/mypy

# One process per core, each with one thread: processes that share cores are many times slower. The longest files, in
# tests/acceptance, have few tests; pytest-xdist would start them last, and all cores but one would wait.
# Bytecode is kept even if the environment says otherwise: the tests start many processes that import the package.
PYTEST := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -n logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder
COVERAGE := --cov --cov-report=term

# Slower checks are marked slow; the linters and the type checker are `make lint`. `.ci/run` calls both.
test: install-dev
	$(PYTEST) -m "not slow"

# The quick tests again, and how much of the code they run: 40 % more time. Fails below the limit in pyproject.toml.
coverage: install-dev
	$(PYTEST) -m "not slow" $(COVERAGE)

test-all: lint
	$(PYTEST) $(COVERAGE)

bench: install-dev
	for script in benchmarks/*.py; do $(BIN)/python $$script || exit 1; done

docs: install-dev
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[docs]"
	$(BIN)/sphinx-build -W --keep-going docs docs/_build

clean:
	rm -rf .venv node_modules $(DEMO) example docs/_build
