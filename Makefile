# The two commands a newcomer needs are `make pipeline` and `make test`; both make .venv when it is missing or out of date.

SHELL := bash
.DEFAULT_GOAL := help

# The Python for .venv. Empty: the script finds one that fits this machine.
PYTHON ?=

# make pipeline
DATASET ?= synthetic_logs
DATA_DIR ?=
SEED ?=
OUTPUT ?= build/$(DATASET)

# make test: arguments for pytest, for example TESTS="tests/layers -k gate"
TESTS ?=

# make lock: arguments for `uv pip compile`, for example LOCK_FLAGS=--upgrade
LOCK_FLAGS ?=

.PHONY: help
help: ## Print this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: pipeline
pipeline: venv ## Run both pipelines, from data to a pushed model [DATASET, DATA_DIR, SEED, OUTPUT]
	.venv/bin/python -m pipelines.local --dataset "$(DATASET)" --root "$(OUTPUT)" \
	  $(if $(DATA_DIR),--data_dir "$(DATA_DIR)") $(if $(SEED),--seed "$(SEED)")

.PHONY: test
test: venv ## Run every test [TESTS]
	.venv/bin/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile $(TESTS)

.PHONY: lint
lint: venv ## Check style and format
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

.PHONY: venv
venv: ## Make .venv, or bring it up to date [PYTHON]
	@PYTHON="$(PYTHON)" requirements/setup_venv.sh

.PHONY: lock
lock: ## Resolve requirements/*.in into the lock files again [LOCK_FLAGS]
	requirements/lock.sh $(LOCK_FLAGS)

.PHONY: clean
clean: ## Remove what was built, except .venv
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache
	find . -path ./.venv -prune -o -name __pycache__ -type d -exec rm -rf {} +
