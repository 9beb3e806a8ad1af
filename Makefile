# Needs python3 (3.11 to 3.13), make and git. `make` alone lists the targets.
VENV ?= .venv
PYTHON ?= python3
# Passed on: `make demo ARGS="--seed 1"`, `make test ARGS="-k splits"`.
ARGS ?=

BIN := $(VENV)/bin
# Two test workers with a thread pool each would fight over the cores, and run many times slower.
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false

.DEFAULT_GOAL := help
.PHONY: help venv demo test lint format bench clean

help: ## list the targets
	@sed -nE 's/^([a-z]+):[^#]*## (.*)/  make \1@\2/p' $(firstword $(MAKEFILE_LIST)) | tr '@' '\t' | expand -t 16

venv: ## build the environment if it is missing or out of date
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) was not found: install Python 3.11, 3.12 or 3.13." >&2; exit 2; }
	@$(PYTHON) .ci/environment.py $(VENV)

demo: venv ## train a policy, compare it with the query strategies, draw the curves
	@$(BIN)/react-rl demo $(ARGS)

test: lint ## style, types and the whole test suite
	@$(ONE_THREAD) $(BIN)/python -m pytest -n 2 $(ARGS)

lint: venv ## style and types alone
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: venv ## rewrite the code in the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: venv ## labelling rounds per second
	@$(BIN)/python -m react_rl.experiments.benchmarks.rounds $(ARGS)

clean: ## remove the environment and all caches, no results
	@test ! -e $(VENV)/pyvenv.cfg || rm -rf $(VENV)
	@rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
