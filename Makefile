# Every target sets up what it needs: a virtual environment in .venv, installed from the lock.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
SOURCES := app worker embedded scripts benchmarks tests

.DEFAULT_GOAL := help
.PHONY: help install lock format check test boot-check image-check digest up supabase migrate api worker bench bench-client bench-queue bench-scale bench-api bench-start bench-digest bench-ranking bench-standin try-upgrade clean

help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(STAMP): requirements-dev.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"Python 3.11 or newer is needed, {sys.executable} is {sys.version.split()[0]}: make PYTHON=/path/to/python3.11 ...")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-dev.lock
	@touch $@

install: $(STAMP) ## Set up .venv from requirements-dev.lock

lock: ## Resolve both locks anew (needs PyPI); UPGRADE=1 takes the newest versions that pyproject.toml allows
	@test -x $(VENV)-lock/bin/uv || { $(PYTHON) -m venv $(VENV)-lock && $(VENV)-lock/bin/pip install --quiet uv; }
	UV=$(VENV)-lock/bin/uv UPGRADE=$(UPGRADE) sh scripts/lock.sh

format: $(STAMP) ## Format the code and mend what the linter can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

check: $(STAMP) ## Formatting, lint, strict types, import rules, architecture
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy $(SOURCES)
	$(BIN)/lint-imports

test: $(STAMP) ## Run all tests; ARGS="-k word" picks some
	$(BIN)/python -m pytest $(ARGS)

boot-check: $(STAMP) ## Prove that this installation can start; ARGS="--json" for machines
	$(BIN)/python -m app.boot $(ARGS)

image-check: ## Do what the Dockerfile does in an empty directory and boot the result (no container engine needed)
	$(PYTHON) scripts/image_check.py

digest: $(STAMP) ## Write a digest with all it takes; PROFILE=file.toml DATE=2026-11-22 OPEN=1
	$(BIN)/python -m embedded.digest_command $(if $(PROFILE),--profile $(PROFILE)) $(if $(DATE),--date $(DATE)) $(if $(OPEN),--open)

up: $(STAMP) ## Run stack, API and worker in one terminal until Ctrl-C; PORT=8000
	$(BIN)/python -m embedded.up_command $(if $(PORT),--port $(PORT))

supabase: $(STAMP) ## Run the stand-in for a Supabase project until Ctrl-C; ARGS="--port 54321"
	$(BIN)/python -m embedded serve $(ARGS)

migrate: $(STAMP) ## Apply supabase/migrations to a database; DATABASE_URL=postgresql://...
	@test -n "$(DATABASE_URL)" || { echo "Say which database: make migrate DATABASE_URL=postgresql://..."; exit 2; }
	@$(BIN)/python -m embedded migrate --database-url "$(DATABASE_URL)"

api: $(STAMP) ## Start the API with the settings of the environment or .env
	$(BIN)/python -m app

worker: $(STAMP) ## Start a worker with the settings of the environment or .env
	$(BIN)/python -m worker

bench: $(STAMP) ## Run the benchmarks in about 3 minutes (bench-digest and bench-ranking apart); tables here, JSON in out/bench
	@for name in client queue scale api start standin; do $(BIN)/python -m benchmarks.$$name || exit 1; done

bench-client: $(STAMP) ## Calls a second and event-loop lag of five clients side by side
	$(BIN)/python -m benchmarks.client

bench-queue: $(STAMP) ## Tasks a second and pick-up time, beside two other queues
	$(BIN)/python -m benchmarks.queue

bench-scale: $(STAMP) ## A claim with up to a million rows in the table
	$(BIN)/python -m benchmarks.scale

bench-api: $(STAMP) ## Status polls, lag and memory of the API
	$(BIN)/python -m benchmarks.api

bench-start: $(STAMP) ## From exec to ready, and memory, of both processes
	$(BIN)/python -m benchmarks.start

bench-digest: $(STAMP) ## What a digest costs a worker: time, memory and calls
	$(BIN)/python -m benchmarks.digest

bench-ranking: $(STAMP) ## What the ranking is worth and costs; DATA=folder has labelled readers, none are bundled
	DATA="$(DATA)" $(BIN)/python -m benchmarks.ranking

bench-standin: $(STAMP) ## How fast the stand-in starts, inserts and reads
	$(BIN)/python -m benchmarks.standin

try-upgrade: ## Try the newest supabase and realtime in a scratch environment (needs PyPI); ARGS="tests/unit" runs less
	$(PYTHON) scripts/try_upgrade.py $(ARGS)

clean: ## Remove the virtual environment, caches and output
	rm -rf $(VENV) $(VENV)-lock .local out build .mypy_cache .ruff_cache .pytest_cache .hypothesis
