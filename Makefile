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
	@$(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadgroup $(ARGS)

SEED ?= $(shell date +%s)
.PHONY: nightly
nightly: $(STAMP) ## 200 kill points, a crash in production, a long outage, a day of churn; on a real server too, where KUBEBUILDER_ASSETS is set. SEED repeats a run.
	KILL_POINTS=200 KILL_SEED=$(SEED) $(BIN)/python -m pytest -s tests/e2e/test_kill_points.py
	KILL_SEED=$(SEED) $(BIN)/python -m pytest -s tests/helm/test_production.py
	OUTAGE_SECONDS=30 $(BIN)/python -m pytest tests/e2e/test_faults.py -k outage
	$(BIN)/kai-py bench soak --seed $(SEED)

.PHONY: check
check: $(STAMP) ## Lint, format, types, directions of imports, generated files.
	$(BIN)/ruff check kai_py tests docs
	$(BIN)/ruff format --check kai_py tests docs
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/kai-py generate --check

.PHONY: format
format: $(STAMP) ## Let ruff rewrite what it can.
	$(BIN)/ruff check --fix kai_py tests docs
	$(BIN)/ruff format kai_py tests docs

.PHONY: generate
generate: $(STAMP) ## Write the generated files: crds/, pages of docs/reference, parts of the chart.
	$(BIN)/kai-py generate

.PHONY: bench
bench: $(STAMP) ## Measure decisions in process and pods per second on a fresh embedded cluster.
	$(BIN)/kai-py bench decide
	$(BIN)/kai-py bench fill --minicluster

# One version of each package for every Python that we support: what the tests run with is what the image gets.
.PHONY: lock
lock: $(STAMP) ## Pin what the container image is made of: image-requirements.txt.
	@$(BIN)/pip install --quiet --disable-pip-version-check uv
	@{ echo '# What the image is made of, with the hashes of every file that may be taken. Written by `make lock`.'; \
	  echo 'setuptools>=77' | $(BIN)/uv pip compile --quiet --generate-hashes --no-annotate --no-header --upgrade \
	    --universal --python-version 3.11 --fork-strategy fewest pyproject.toml -; } > image-requirements.txt

.PHONY: docs
docs: generate ## Make the site docs/_build/html of the pages; a broken link fails.
	$(BIN)/python -m pytest tests/docs
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

.PHONY: clean
clean: ## Remove the virtual environment and caches.
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache docs/_build *.egg-info

.PHONY: help
help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
