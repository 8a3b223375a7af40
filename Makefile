# `make` lists what there is to run. Everything lives in .venv and DEVLORE_HOME; nothing else is touched.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?=
WORKERS ?= 2
CRASH_ARGS ?= --rounds 20
COMPOSE_ARGS ?=
MUTANTS ?=
INSTALLED := $(VENV)/.installed
INSTALLED_DEV := $(VENV)/.installed-dev
PACKAGES := sdk/python/pyproject.toml cli/pyproject.toml server/pyproject.toml
STATIC := $(BIN)/ruff format --check --quiet . && $(BIN)/ruff check --quiet . && $(BIN)/mypy && $(BIN)/lint-imports --no-logo
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	--no-emit-index-url --no-emit-find-links --no-emit-package devlore --no-emit-package devlore-cli --no-emit-package devlore-server

.PHONY: help up down run team status test check static budgets drift openapi schema lock crash isolation isolation-mutants compose-test clean \
	bench-recall bench-search bench-ingest bench-peers bench-isolation bench-gateway

help: ## list these targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# ---------------------------------------------------------------- use it

up: $(INSTALLED) ## set up, start in the background, remember this repository, show a search
	@$(BIN)/devlore up
	@if git -C . rev-parse HEAD >/dev/null 2>&1; then $(BIN)/devlore sync git .; \
	else echo "Not a git clone: its history is not read."; fi
	@$(BIN)/devlore sync markdown .
	@echo; echo '$$ devlore search "why is there one event log"'
	@$(BIN)/devlore search "why is there one event log" --limit 3
	@printf '\nTry next (put %s on your PATH, or call it by its path):\n' "$(CURDIR)/$(BIN)"
	@printf '  devlore add "We pin psycopg because 3.2.4 leaks prepared statements" --kind decision --tag postgres\n'
	@printf '  devlore search "why did the connection pool run dry"\n'
	@printf '  devlore sync git PATH-TO-ANOTHER-REPOSITORY\n'
	@printf '  devlore status · devlore doctor · make down\n'

down: ## stop it
	@if [ -x $(BIN)/devlore ]; then $(BIN)/devlore down; else echo "Not installed, so nothing runs."; fi

run: $(INSTALLED) ## start in the foreground, for development
	@exec $(BIN)/devlore-server serve

team: $(INSTALLED) ## run a team instance in the foreground: a process per role, PostgreSQL, Redis, sign-in on
	@bash requirements/program redis-server
	@exec $(BIN)/devlore-server team

status: $(INSTALLED) ## say what runs, and how far the indexes are
	@$(BIN)/devlore status

# ---------------------------------------------------------------- trust it

test: $(INSTALLED_DEV) ## set up what tests need, and run them all
	@bash requirements/program redis-server
	@bash requirements/program chromium || echo "Without it the pages are not looked at."
	@$(BIN)/pytest -q -n $(WORKERS) --dist loadfile $(PYTEST_ARGS)

check: static drift test ## format, lint, types, imports, drift of generated files, budgets, all tests

static: $(INSTALLED_DEV) ## format, lint, types and imports only
	@$(STATIC)

budgets: $(INSTALLED_DEV) ## sizes, names and cycles only
	@$(BIN)/pytest -q server/tests/test_architecture.py

drift: $(INSTALLED_DEV) ## fail when a generated file is not what the code says
	@$(BIN)/devlore-server reference --check

crash: $(INSTALLED_DEV) ## kill -9 server and PostgreSQL at random for some minutes; nothing acknowledged may be lost
	@cd server && ../$(BIN)/python -m tests.crash.crash $(CRASH_ARGS)

isolation: $(INSTALLED_DEV) ## nobody sees what is not theirs: all probes, and how many leaked (`make test` has a short run)
	@bash requirements/program redis-server
	@ISOLATION=full $(BIN)/pytest -q -n $(WORKERS) --dist loadfile server/tests/isolation $(PYTEST_ARGS)

isolation-mutants: $(INSTALLED_DEV) ## plant bugs, one at a time: the isolation tests must catch each
	@bash requirements/program redis-server
	@cd server && ../$(BIN)/python -m tests.isolation.mutants $(MUTANTS)

compose-test: $(INSTALLED_DEV) ## bring the containers up for real; needs a Docker engine, so it is not part of `make test`
	@cd server && ../$(BIN)/python -m tests.compose.compose $(COMPOSE_ARGS)

# ---------------------------------------------------------------- look after it

openapi: $(INSTALLED) ## write docs/api and the generated part of docs/ops afresh
	@$(BIN)/devlore-server reference

schema: $(INSTALLED) ## write server/migrations/schema.sql afresh
	@$(BIN)/python -m devlore_server.kit.migrate

lock: $(INSTALLED_DEV) ## resolve the newest versions into requirements/*.lock, with hashes
	@$(BIN)/python -m pip install --quiet uv
	@$(LOCK) --upgrade requirements/packages.in requirements/build.in -o requirements/run.lock
	@$(LOCK) --upgrade requirements/packages.in requirements/build.in requirements/dev.in -c requirements/run.lock -o requirements/dev.lock

clean: ## remove the environment and caches; data under DEVLORE_HOME stays
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# ---------------------------------------------------------------- measure it

bench-recall: $(INSTALLED) ## retrieval quality; BENCH_ARGS="--help" says how to name the data sets
	@$(BIN)/python bench/recall.py $(BENCH_ARGS)

bench-search: $(INSTALLED) ## latency of search at growing sizes
	@$(BIN)/python bench/search.py $(BENCH_ARGS)

bench-ingest: $(INSTALLED) ## create, bulk and sync, against a bare insert
	@$(BIN)/python bench/ingest.py $(BENCH_ARGS)

bench-peers: $(INSTALLED) ## other memory servers on the same corpus, each in its own environment
	@$(BIN)/python bench/peers.py $(BENCH_ARGS)

bench-isolation: $(INSTALLED_DEV) ## row-level security against none, and more and more organisations
	@$(BIN)/python bench/isolation.py $(BENCH_ARGS)

bench-gateway: $(INSTALLED_DEV) ## the gateway's hop, limits, revocation and refreshing in a split team instance
	@bash requirements/program redis-server
	@$(BIN)/python bench/gateway.py $(BENCH_ARGS)

# ---------------------------------------------------------------- the environment

$(BIN)/python:
	@$(PYTHON) requirements/environment.py create $(VENV)

$(INSTALLED): requirements/run.lock $(PACKAGES) | $(BIN)/python
	@$(BIN)/python requirements/environment.py install requirements/run.lock
	@touch $@

$(INSTALLED_DEV): requirements/dev.lock $(PACKAGES) | $(BIN)/python
	@$(BIN)/python requirements/environment.py install requirements/dev.lock
	@touch $@ $(INSTALLED)
