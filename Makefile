# Every target first creates the virtual environment .venv from the lock, if it needs one.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
SOURCES := app worker embedded scripts benchmarks tests

# Variables of the command line and the environment reach the programs unchanged: recipes read them as quoted shell
# variables, so that neither make nor the shell executes anything in them.
VARIABLES := ARGS CATEGORIES DATA DATABASE_URL DATE EMAIL FILE INTERESTS KILLS MAIL_FROM MAIL_URL MINUTES N OPEN OWNER PORT PROFILE PRUNE \
    PYTHON READERS PACKAGE SAMPLE SEED STACK_PORT UPGRADE WAIT WINDOWS
$(foreach name,$(VARIABLES),$(if $(filter undefined,$(origin $(name))),,$(eval override export $(name) := $$(value $(name)))))
# Splits ARGS at spaces without expanding file name patterns.
NO_GLOB := set -f;

.DEFAULT_GOAL := help
.PHONY: help install lock wheels format check test test-alone mutants boot-check image-check openapi alerts settings digest daily up supabase migrate readers api worker bench bench-client bench-queue bench-snapshot bench-scale bench-api bench-start bench-digest bench-mail bench-ranking bench-schedule bench-readers bench-morning bench-emulator bench-waiting bench-imports bench-traces soak soak-mails try-upgrade clean

help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(STAMP): requirements-dev.lock
	@"$$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"Python 3.11 or newer is needed, {sys.executable} is {sys.version.split()[0]}: make PYTHON=/path/to/python3.11 ...")'
	@echo "Setting up $(VENV): $$(grep -c == requirements-dev.lock) packages from requirements-dev.lock, once; this takes about a minute"
	@"$$PYTHON" -m venv --clear $(VENV)
	@$(BIN)/pip install --disable-pip-version-check --no-deps --require-hashes -r requirements-dev.lock
	@touch $@

install: $(STAMP) ## Set up .venv from requirements-dev.lock

lock: ## Resolve the locks again (needs PyPI); UPGRADE=1 takes the newest versions that pyproject.toml allows
	@test -x $(VENV)-lock/bin/uv || { "$$PYTHON" -m venv $(VENV)-lock && $(VENV)-lock/bin/pip install --quiet uv; }
	UV=$(VENV)-lock/bin/uv sh scripts/lock.sh

wheels: $(STAMP) ## List the wheels of the locks for each supported Python (needs PyPI), after make lock
	$(BIN)/python -m scripts.wheels

format: $(STAMP) ## Format the code and apply the linter's fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

check: $(STAMP) ## Check formatting, lint, strict types and import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy $(SOURCES)
	$(BIN)/lint-imports

# Tests keep compiled files even if the shell forbids it: compiling takes half of each process's start time.
test test-alone mutants: override export PYTHONDONTWRITEBYTECODE :=

test: $(STAMP) ## Run all tests in parallel; ARGS="-k word" selects some, POSTGRESQL=all uses PostgreSQL 15 and 18 for what can differ
	PYTEST_ADDOPTS="$$PYTEST_ADDOPTS -n auto --dist worksteal $$ARGS" $(BIN)/python -m pytest

test-alone: $(STAMP) ## Run each test file in a separate process, to find tests that depend on other files
	@for file in $$(git ls-files 'tests/*test_*.py'); do PYTEST_ADDOPTS="$$PYTEST_ADDOPTS $$ARGS" $(BIN)/python -m pytest -q --no-header "$$file" || exit 1; done

mutants: $(STAMP) ## Inject N=50 Python faults and all SQL faults, list those that no test detects; SEED=1 PACKAGE=worker|sql|python ONLY=text
	$(BIN)/python -m scripts.mutants $${SEED:+--seed="$$SEED"} $${N:+--count="$$N"} $${PACKAGE:+--package="$$PACKAGE"} $${ONLY:+--only="$$ONLY"}

boot-check: $(STAMP) ## Check that this installation can start; ARGS="--json" prints JSON
	$(NO_GLOB) $(BIN)/python -m app.boot $$ARGS

image-check: ## Follow the Dockerfile in an empty directory and start the result (needs no container engine)
	"$$PYTHON" scripts/image_check.py

openapi: $(STAMP) ## Generate docs/openapi.json, the API's description
	$(BIN)/python -m scripts.openapi

settings: $(STAMP) ## Write docs/SETTINGS.md from the settings classes
	$(BIN)/python -m scripts.settings

alerts: $(STAMP) ## Write docs/alerts.yml and its table in docs/OPERATIONS.md from the list of conditions
	$(BIN)/python -m scripts.alerts

digest: $(STAMP) ## Start everything, write one digest to out/ and stop; INTERESTS="a, b" CATEGORIES=cs.RO PROFILE=file.toml DATE=2026-11-22 OPEN=1
	@$(BIN)/python -m embedded.commands digest $${PROFILE:+--profile="$$PROFILE"} $${INTERESTS:+--interests="$$INTERESTS"} \
	    $${CATEGORIES:+--categories="$$CATEGORIES"} $${DATE:+--date="$$DATE"} $${OPEN:+--open}

daily: $(STAMP) ## Mail what is new, once a day, on a local database; INTERESTS="a, b" CATEGORIES=cs.RO EMAIL=... READERS=file SAMPLE=1
	@$(BIN)/python -m embedded.commands daily $${READERS:+--readers="$$READERS"} $${INTERESTS:+--interests="$$INTERESTS"} \
	    $${CATEGORIES:+--categories="$$CATEGORIES"} $${EMAIL:+--email="$$EMAIL"} $${PRUNE:+--prune} $${SAMPLE:+--sample} \
	    $${WAIT:+--wait="$$WAIT"} $${DATA:+--folder="$$DATA"}

up: $(STAMP) ## Run the emulator, API and worker in one terminal until Ctrl-C; PORT=8000 STACK_PORT=54321
	@exec $(BIN)/python -m embedded.commands up --end-with-parent $${PORT:+--port="$$PORT"} $${STACK_PORT:+--stack-port="$$STACK_PORT"}

supabase: $(STAMP) ## Run the emulator of a Supabase project until Ctrl-C; ARGS="--port 54321"
	$(NO_GLOB) $(BIN)/python -m embedded serve $$ARGS

migrate: $(STAMP) ## Apply supabase/migrations to a database; DATABASE_URL=postgresql://...
	@$(BIN)/python -m scripts.migrate

readers: $(STAMP) ## Create or change the readers of a file; FILE=readers.toml OWNER=name PRUNE=1 pauses those not in it
	@test -n "$$FILE" || { echo "make readers: FILE is missing, such as FILE=readers.toml (readers.example.toml shows the form)" >&2; exit 2; }
	@$(BIN)/python -m worker.readers $${PRUNE:+--prune} $${OWNER:+--owner="$$OWNER"} -- "$$FILE"

api: $(STAMP) ## Start the API with the settings of the environment or .env
	$(BIN)/python -m app

worker: $(STAMP) ## Start a worker with the settings of the environment or .env
	$(BIN)/python -m worker

bench: $(STAMP) ## Run the seven short benchmarks (client queue scale api start emulator waiting), 3 minutes; JSON in out/bench
	@for name in client queue scale api start emulator waiting; do $(BIN)/python -m benchmarks.$$name || exit 1; done

bench-client: $(STAMP) ## Calls per second and event-loop lag of five clients
	$(BIN)/python -m benchmarks.client

bench-queue: $(STAMP) ## Tasks per second and pick-up latency, compared with two other queues
	$(BIN)/python -m benchmarks.queue

bench-snapshot: $(STAMP) ## Tasks per second while an old snapshot stays open (3 minutes)
	$(BIN)/python -m benchmarks.snapshot

bench-scale: $(STAMP) ## Time of a claim with up to a million rows in the table; N=10000000 measures every call and retention with so many
	@if [ -n "$$N" ]; then exec $(BIN)/python -m benchmarks.capacity --rows="$$N"; else exec $(BIN)/python -m benchmarks.scale; fi

bench-api: $(STAMP) ## Status polls per second, event-loop lag and memory of the API
	$(BIN)/python -m benchmarks.api

bench-start: $(STAMP) ## Start time and memory of both processes
	$(BIN)/python -m benchmarks.start

bench-digest: $(STAMP) ## Time, memory and calls of a worker per digest
	$(BIN)/python -m benchmarks.digest

bench-mail: $(STAMP) ## CPU time per mail, and its longest step on the event loop
	$(BIN)/python -m benchmarks.mail

bench-schedule: $(STAMP) ## Ten thousand readers due in one minute: calls, seconds, CPU time of PostgreSQL; READERS=100000
	$(BIN)/python -m benchmarks.schedule $${READERS:+--readers="$$READERS"}

bench-readers: $(STAMP) ## Rows and bytes of a reader's day; lists and overview with many readers; READERS=100000
	$(BIN)/python -m benchmarks.reader_days
	$(BIN)/python -m benchmarks.many_readers $${READERS:+--readers="$$READERS"}

bench-morning: $(STAMP) ## Ten thousand readers due in one minute, mailed over SMTP: seconds, CPU time of all processes; READERS=1000
	$(BIN)/python -m benchmarks.morning $${READERS:+--readers="$$READERS"}

bench-ranking: $(STAMP) ## Quality and CPU time of the ranking; DATA=folder of labelled readers (none are bundled), WINDOWS=3 joins windows
	$(BIN)/python -m benchmarks.ranking

bench-emulator: $(STAMP) ## Start, insert and read times of the emulator
	$(BIN)/python -m benchmarks.emulator

bench-waiting: $(STAMP) ## How soon waiting callers learn of a task's end, and the CPU time and memory they need
	$(BIN)/python -m benchmarks.waiting

bench-imports: $(STAMP) ## Time of an import of 5,000 entries, the API's lag and its memory for an upload of 50 MB
	$(BIN)/python -m benchmarks.imports

soak: $(STAMP) ## Everything at the same time under faults, then an account of all that was acknowledged; MINUTES=60 READERS=500 SEED=1
	$(BIN)/python -m tests.soak $${MINUTES:+--minutes="$$MINUTES"} $${READERS:+--readers="$$READERS"} $${SEED:+--seed="$$SEED"} $$ARGS
bench-traces: $(STAMP) ## CPU time of a worker without traces, with a tenth of them, and with all (3 minutes)
	$(BIN)/python -m benchmarks.traces

soak-mails: $(STAMP) ## Kill two workers while they send mails through a flaky server (10 minutes); READERS=2000 KILLS=10 SEED=1
	$(BIN)/python -m tests.acceptance.soak_mails $${READERS:+--readers="$$READERS"} $${KILLS:+--kills="$$KILLS"} $${SEED:+--seed="$$SEED"}

try-upgrade: ## Test the newest supabase and realtime in a separate environment (needs PyPI); ARGS="tests/unit" runs fewer tests
	$(NO_GLOB) "$$PYTHON" scripts/try_upgrade.py $$ARGS

clean: ## Remove the virtual environment, caches and output
	rm -rf $(VENV) $(VENV)-lock .local out build .mypy_cache .ruff_cache .pytest_cache .hypothesis
