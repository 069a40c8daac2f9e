# Everything a person does here. Each target says what it does after `##`; `make help` prints that.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet --prefer-binary
ARGS   ?=
SHARED ?= ../shared

.DEFAULT_GOAL := help
.PHONY: help demo test fuzz faults mutants memory rolling dashboards bench profile check format docs train-detector train-recogniser clean

help:  ## Print this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 20

# ---- the virtual environment: light for the demo, with the tools for everything else --------------------------------
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "plateflow needs Python 3.11 or newer; name one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "python3 -m venv failed; on Debian: apt-get install python3-venv" >&2; exit 1; }

$(VENV)/.installed-demo: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing plateflow and its light set of packages into $(VENV) ..."
	@$(PIP) -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing plateflow with its development tools into $(VENV) ..."
	@$(PIP) -e '.[dev]'
	@touch $@ $(VENV)/.installed-demo

$(VENV)/.installed-train: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing plateflow with torch and ultralytics into $(VENV) (several GB) ..."
	@$(PIP) -e '.[train]'
	@touch $@ $(VENV)/.installed-demo

# ---- to see it, to trust it -----------------------------------------------------------------------------------------
demo: $(VENV)/.installed-demo  ## Render clips, run Vault stand-in, broker and services, check every plate (ARGS=...)
	@$(BIN)/plateflow demo $(ARGS)

test: $(VENV)/.installed-dev  ## Set up real Kafka and S3, run all tests (ARGS="-k name" to choose)
	@$(BIN)/python -m pytest -q $(ARGS)

fuzz: $(VENV)/.installed-dev  ## Send 10,000 malformed messages, keys, camera files, settings; 500 broken clips
	@PLATEFLOW_FUZZ=10000 $(BIN)/python -m pytest -q tests/fuzz $(ARGS)

faults: $(VENV)/.installed-dev  ## Break things on purpose for a long time, judge the results (ARGS="--faults 200 --seed 1")
	@$(BIN)/python -m tests.faults $(ARGS)

mutants: $(VENV)/.installed-dev  ## Break one rule at a time in a copy, see that a test notices (ARGS="--rule 4")
	@$(BIN)/python -m tests.faults.mutants $(ARGS)

memory: $(VENV)/.installed-dev  ## 10,000 announcements and 1,000 clips of one camera: memory over the run (ARGS=...)
	@$(BIN)/python -m tests.faults.memory $(ARGS)

rolling: $(VENV)/.installed-dev  ## Scale inference 1 to 4 to 1 and restart everything under load, judge the results
	@$(BIN)/python -m tests.deploy.rolling $(ARGS)

bench: $(VENV)/.installed-dev  ## Measure against peers and limits; one alone: make bench-aggregator (ARGS=--quick)
	@$(BIN)/python -m benchmarks $(ARGS)

bench-%: $(VENV)/.installed-dev
	@$(BIN)/python -m benchmarks $* $(ARGS)

profile: $(VENV)/.installed-dev  ## Where the time of a clip goes: a budget by stage, a flame graph in build/flame.svg
	@$(BIN)/python -m benchmarks.profile $(ARGS)

dashboards: $(VENV)/.installed-dev  ## Draw every dashboard from a real Prometheus into build/dashboards (ARGS=...)
	@$(BIN)/python -m tests.deploy.pictures $(ARGS)

check: $(VENV)/.installed-dev  ## Lint, format, types, layers, generated files, known weaknesses of packages
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy services tests
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python -m services.contracts.schemas --check
	@$(BIN)/python -m services.cli.configuration --check
	@$(BIN)/python -m services.cli.metrics_page --check
	@$(BIN)/python -m services.cli.dashboards --check
	@$(BIN)/python -m services.cli.chart_files --check
	@$(BIN)/python -m tests.deploy.advisories

format: $(VENV)/.installed-dev  ## Sort imports, fix what ruff can fix, format
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

docs: $(VENV)/.installed-dev  ## Generate schemas, docs/configuration.md and Grafana's dashboards from the code
	@$(BIN)/python -m services.contracts.schemas
	@$(BIN)/python -m services.cli.configuration
	@$(BIN)/python -m services.cli.metrics_page
	@$(BIN)/python -m services.cli.dashboards
	@$(BIN)/python -m services.cli.chart_files

# ---- the models -----------------------------------------------------------------------------------------------------
train-detector: $(VENV)/.installed-train  ## Train the plate detector (SHARED=folder), export it; resumes (ARGS=...)
	@$(BIN)/plateflow train detector --shared $(SHARED)/data --out build/detector $(ARGS)

train-recogniser: $(VENV)/.installed-train  ## Train the recogniser on rendered plates, export it; resumes (ARGS=...)
	@$(BIN)/python -m services.inference.training.fonts --cache .cache/fonts
	@$(BIN)/plateflow train recogniser --out build/recogniser --fonts .cache/fonts \
	  --shared $(SHARED) $(if $(wildcard build/recogniser/last.pt),--resume) $(ARGS)

clean:  ## Remove the virtual environment, caches and outputs
	@rm -rf $(VENV) .cache build demo-out *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
