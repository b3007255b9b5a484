# What a target needs is set up first, by scripts/setup.sh: a virtual environment in .venv, packages, system packages.
.PHONY: help run test e2e soak lint docs bench

NODES ?= 3
PORT ?= 8080
ARGS ?=

help:  ## What there is
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "  make %-6s %s\n", $$1, $$2 }' Makefile

run:  ## A registry, three nodes and HAProxy on this machine (NODES=3 PORT=8080 ARGS=…); Ctrl-C stops them
	@scripts/setup.sh run
	@exec .venv/bin/wsplatform cluster --nodes $(NODES) --port $(PORT) $(ARGS)

test:  ## Unit and integration tests (ARGS=… for pytest)
	@scripts/setup.sh test
	@.venv/bin/pytest -n auto --maxprocesses 4 --dist loadfile $(ARGS)

e2e:  ## Tests with a browser, real SDKs, PostgreSQL and the installed wheel
	@scripts/setup.sh e2e
	@.venv/bin/pytest tests/e2e $(ARGS)

soak:  ## A cluster whose processes are killed (SOAK_SECONDS: 300), clients that come and go (CHURN_SECONDS: 1200)
	@scripts/setup.sh test
	@.venv/bin/pytest tests/soak --timeout 0 $(ARGS)

lint:  ## Style, types, and which layer imports which
	@scripts/setup.sh test
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports

docs:  ## The site of docs/, in build/site; a link that leads nowhere fails
	@scripts/setup.sh test
	@.venv/bin/sphinx-build -W --keep-going -q -d build/doctrees docs build/site
	@echo build/site/index.html

bench:  ## Benchmarks (ARGS=…)
	@scripts/setup.sh test
	@.venv/bin/python -m benchmarks $(ARGS)
