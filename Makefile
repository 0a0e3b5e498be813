# `make help` explains the targets. Arguments pass through: make search ARGS="--num-samples 5"
PYTHON ?= $(firstword $(shell command -v python3.11) python3)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help install search debug ui app test nightly check bench keys pictures clean

help: ## Explain every target
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

install: $(INSTALLED) ## Create .venv from requirements.lock (the other targets do it as needed)

$(INSTALLED): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@# Compiled here, what searches import: with this variable, as images set it, no process would
	@# keep what it compiled, and each of a search's would take 8 s longer to start.
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -c "import tune.engine.runner, trainable.ray_trainable"
	@touch $@

search: $(INSTALLED) ## Search on the digits: 20 trials, recorded in mlflow.db, the best registered
	$(BIN)/python -m tune.search --num-samples 20 $(ARGS)

debug: $(INSTALLED) ## Run one trial in this process, without Ray
	$(BIN)/python -m tune.debug $(ARGS)

ui: $(INSTALLED) ## Show the record in a browser, on http://127.0.0.1:5000
	MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false $(BIN)/mlflow ui --workers 1 $(ARGS)

app: $(INSTALLED) ## Try the registered models in a browser, on http://127.0.0.1:8501
	$(BIN)/streamlit run tune/app.py --server.address 127.0.0.1 $(ARGS)

test: $(INSTALLED) ## Run the tests; those that need real data or a GPU skip without it
	$(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

keys: $(INSTALLED) ## Make docs/keys.md again, after a key of the config has changed
	$(BIN)/python -m tune.keys --markdown > docs/keys.md

pictures: $(INSTALLED) ## Make the README's transcripts and pictures again, of one new search (Chromium)
	$(BIN)/python docs/pictures.py $(ARGS)

nightly: $(INSTALLED) ## Run the longest tests: searches that are killed or paused, the benchmarks' own
	TUNE_SLOW=1 $(BIN)/python -m pytest -m nightly tests $(ARGS)

check: $(INSTALLED) ## Lint, format, types, and who imports whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --no-logo

bench: $(INSTALLED) ## Measure again what benchmarks/RESULTS.md states, the short way
	@for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script --quick || exit 1; done

clean: ## Remove .venv and caches; the record in mlflow.db and mlruns/ stays
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
