# Two commands do all set-up on a fresh machine that has Python (3.11 or newer) and make: `make demo` and `make test`.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.DEFAULT_GOAL := help

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "kai-py needs Python 3.11 or newer; set PYTHON=python3.x")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing kai-py and its tools into $(VENV) (a minute on the first run)"
	@$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

.PHONY: install
install: $(STAMP) ## Make a virtual environment with kai-py and the development tools.

.PHONY: demo
demo: $(STAMP) ## Watch four teams share a GPU cluster for a minute, on the embedded API server.
	@$(BIN)/kai-py demo $(ARGS)

.PHONY: test
test: $(STAMP) ## Run the tests (on a real control plane too, when KUBEBUILDER_ASSETS names one).
	@$(BIN)/python -m pytest $(ARGS)

SEED ?= $(shell date +%s)
.PHONY: nightly
nightly: $(STAMP) ## What takes too long for every change: 200 kill points, a virtual day of churn. SEED repeats a run.
	KILL_POINTS=200 KILL_SEED=$(SEED) $(BIN)/python -m pytest -s tests/e2e/test_kill_points.py
	$(BIN)/kai-py bench soak --seed $(SEED)

.PHONY: check
check: $(STAMP) ## Lint, format, types, directions of imports, generated files.
	$(BIN)/ruff check kai_py tests
	$(BIN)/ruff format --check kai_py tests
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/kai-py generate --check

.PHONY: format
format: $(STAMP) ## Let ruff rewrite what it can.
	$(BIN)/ruff check --fix kai_py tests
	$(BIN)/ruff format kai_py tests

.PHONY: generate
generate: $(STAMP) ## Write the generated files: crds/ and docs/reference/settings.md.
	$(BIN)/kai-py generate

.PHONY: bench
bench: $(STAMP) ## Measure decisions in process and pods per second on a fresh embedded cluster.
	$(BIN)/kai-py bench decide
	$(BIN)/kai-py bench fill --minicluster

.PHONY: docs
docs: generate ## Regenerate the reference pages and check the links between pages.
	$(BIN)/python -m pytest tests/docs

.PHONY: clean
clean: ## Remove the virtual environment and caches.
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info

.PHONY: help
help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
