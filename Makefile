# Throughline: everything a person types. `make run` and `make test` need Python 3.11 or newer, and nothing else.

.PHONY: run install test lint types bench soak

run: ## Serve on http://127.0.0.1:8000 (HOST, PORT, DATA_DIR, ...: docs/reference/settings.md)
	@requirements/install run model
	@exec .venv/bin/python manage.py serve

install: ## Only make .venv, with what `run` needs
	@requirements/install run model

test: ## Lint, types, layering, then every test; `make test ARGS="tests/events -x"` for some
	@.ci/test $(ARGS)

lint: ## Style, format, and who may import whom
	@requirements/install dev
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/lint-imports

types: ## mypy, strict
	@requirements/install dev
	@.venv/bin/mypy

TIME ?= 600
SEEDS ?= 1..10
BROKER ?= redis
SHRINK ?= 1800

soak: ## Break everything, from seeds: `make soak TIME=600 SEEDS=1..10 BROKER=redis|nats`; report in .data/soak/
	@requirements/install dev model
	@EVENT_BROKER=$(BROKER) .venv/bin/python -m tests.faults --time $(TIME) --seeds $(SEEDS) --shrink $(SHRINK) --out .data/soak/$(BROKER)

bench: ## Measure against other servers and print the table
	@requirements/install run model bench
	@.venv/bin/python -m benchmarks
