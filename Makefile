# Every target sets up what it needs: a virtual environment in .venv, installed from the lock.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
SOURCES := app worker embedded scripts benchmarks tests

# What is given on the command line or in the environment reaches the programs as it was given: recipes read it as a
# variable of the shell, in quotes, so that neither make nor the shell executes anything in it.
GIVEN := ARGS DATA DATABASE_URL DATE KILLS N OPEN PORT PROFILE PYTHON READERS PACKAGE SEED STACK_PORT UPGRADE
$(foreach name,$(GIVEN),$(if $(filter undefined,$(origin $(name))),,$(eval override export $(name) := $$(value $(name)))))
# Options of a program, split at spaces; no part of them is a pattern of file names.
WORDS := set -f;

.DEFAULT_GOAL := help
.PHONY: help install lock format check test test-alone mutants boot-check image-check openapi settings digest up supabase migrate api worker bench bench-client bench-queue bench-snapshot bench-scale bench-api bench-start bench-digest bench-mail bench-ranking bench-schedule bench-emulator bench-waiting soak-mails try-upgrade clean

help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(STAMP): requirements-dev.lock
	@"$$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"Python 3.11 or newer is needed, {sys.executable} is {sys.version.split()[0]}: make PYTHON=/path/to/python3.11 ...")'
	@echo "Setting up $(VENV): $$(grep -c == requirements-dev.lock) packages from requirements-dev.lock, once; this takes about a minute"
	@"$$PYTHON" -m venv --clear $(VENV)
	@$(BIN)/pip install --disable-pip-version-check --no-deps --require-hashes -r requirements-dev.lock
	@touch $@

install: $(STAMP) ## Set up .venv from requirements-dev.lock

lock: ## Resolve both locks anew (needs PyPI); UPGRADE=1 takes the newest versions that pyproject.toml allows
	@test -x $(VENV)-lock/bin/uv || { "$$PYTHON" -m venv $(VENV)-lock && $(VENV)-lock/bin/pip install --quiet uv; }
	UV=$(VENV)-lock/bin/uv sh scripts/lock.sh

format: $(STAMP) ## Format the code and mend what the linter can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

check: $(STAMP) ## Formatting, lint, strict types, import rules, architecture
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy $(SOURCES)
	$(BIN)/lint-imports

# What pytest and Python compiled is kept, whatever the shell says: anew it is half of each process's start.
test test-alone mutants: override export PYTHONDONTWRITEBYTECODE :=

test: $(STAMP) ## Run all tests, side by side; ARGS="-k word" picks some, POSTGRESQL=all has contract tests on both
	PYTEST_ADDOPTS="$$PYTEST_ADDOPTS -n auto --dist worksteal $$ARGS" $(BIN)/python -m pytest

test-alone: $(STAMP) ## Run each file of tests by itself: none may need what another leaves behind
	@for file in $$(git ls-files 'tests/*test_*.py'); do PYTEST_ADDOPTS="$$PYTEST_ADDOPTS $$ARGS" $(BIN)/python -m pytest -q --no-header "$$file" || exit 1; done

mutants: $(STAMP) ## Plant N=50 faults and all of the SQL's, and list those that no test notices; SEED=1 PACKAGE=worker|sql|...
	$(BIN)/python -m scripts.mutants $${SEED:+--seed="$$SEED"} $${N:+--count="$$N"} $${PACKAGE:+--package="$$PACKAGE"}

boot-check: $(STAMP) ## Prove that this installation can start; ARGS="--json" for machines
	$(WORDS) $(BIN)/python -m app.boot $$ARGS

image-check: ## Do what the Dockerfile does in an empty directory and boot the result (no container engine needed)
	"$$PYTHON" scripts/image_check.py

openapi: $(STAMP) ## Write docs/openapi.json anew, the API's description
	$(BIN)/python -m scripts.openapi

settings: $(STAMP) ## Write docs/SETTINGS.md from the settings classes
	$(BIN)/python -m scripts.settings

digest: $(STAMP) ## Write a digest with all it takes; PROFILE=file.toml DATE=2026-11-22 OPEN=1
	@$(BIN)/python -m embedded.commands digest $${PROFILE:+--profile="$$PROFILE"} $${DATE:+--date="$$DATE"} $${OPEN:+--open}

up: $(STAMP) ## Run stack, API and worker in one terminal until Ctrl-C; PORT=8000 STACK_PORT=54321
	@exec $(BIN)/python -m embedded.commands up --end-with-parent $${PORT:+--port="$$PORT"} $${STACK_PORT:+--stack-port="$$STACK_PORT"}

supabase: $(STAMP) ## Run the emulator for a Supabase project until Ctrl-C; ARGS="--port 54321"
	$(WORDS) $(BIN)/python -m embedded serve $$ARGS

migrate: $(STAMP) ## Apply supabase/migrations to a database; DATABASE_URL=postgresql://...
	@$(BIN)/python -m scripts.migrate

api: $(STAMP) ## Start the API with the settings of the environment or .env
	$(BIN)/python -m app

worker: $(STAMP) ## Start a worker with the settings of the environment or .env
	$(BIN)/python -m worker

bench: $(STAMP) ## Run the benchmarks in about 3 minutes (bench-digest and bench-ranking apart); tables here, JSON in out/bench
	@for name in client queue scale api start emulator waiting; do $(BIN)/python -m benchmarks.$$name || exit 1; done

bench-client: $(STAMP) ## Calls a second and event-loop lag of five clients side by side
	$(BIN)/python -m benchmarks.client

bench-queue: $(STAMP) ## Tasks a second and pick-up time, beside two other queues
	$(BIN)/python -m benchmarks.queue

bench-snapshot: $(STAMP) ## The queue's rate while an old snapshot is held open (3 minutes)
	$(BIN)/python -m benchmarks.snapshot

bench-scale: $(STAMP) ## A claim with up to a million rows in the table
	$(BIN)/python -m benchmarks.scale

bench-api: $(STAMP) ## Status polls, lag and memory of the API
	$(BIN)/python -m benchmarks.api

bench-start: $(STAMP) ## From exec to ready, and memory, of both processes
	$(BIN)/python -m benchmarks.start

bench-digest: $(STAMP) ## What a digest costs a worker: time, memory and calls
	$(BIN)/python -m benchmarks.digest

bench-mail: $(STAMP) ## What a mail costs a worker: CPU, and the longest step on the event loop
	$(BIN)/python -m benchmarks.mail

bench-schedule: $(STAMP) ## Ten thousand readers due in one minute: calls, seconds, PostgreSQL's CPU
	$(BIN)/python -m benchmarks.schedule

bench-ranking: $(STAMP) ## What the ranking is worth and costs; DATA=folder has labelled readers, none are bundled
	$(BIN)/python -m benchmarks.ranking

bench-emulator: $(STAMP) ## How fast the emulator starts, inserts and reads
	$(BIN)/python -m benchmarks.emulator

bench-waiting: $(STAMP) ## How soon waiting callers see the end, and what they cost
	$(BIN)/python -m benchmarks.waiting

soak-mails: $(STAMP) ## Two workers killed while they send, a server with its moods (10 minutes); READERS=2000 KILLS=10 SEED=1
	$(BIN)/python -m tests.acceptance.soak_mails $${READERS:+--readers="$$READERS"} $${KILLS:+--kills="$$KILLS"} $${SEED:+--seed="$$SEED"}

try-upgrade: ## Try the newest supabase and realtime in a scratch environment (needs PyPI); ARGS="tests/unit" runs less
	$(WORDS) "$$PYTHON" scripts/try_upgrade.py $$ARGS

clean: ## Remove the virtual environment, caches and output
	rm -rf $(VENV) $(VENV)-lock .local out build .mypy_cache .ruff_cache .pytest_cache .hypothesis
