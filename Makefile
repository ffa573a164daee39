# Baton. `make` alone says what there is.
.DEFAULT_GOAL := help
SHELL := /bin/sh
SYSTEM_PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)
PYTHON := .venv/bin/python
INSTALL := $(or $(SYSTEM_PYTHON),$(error Python 3.11 or newer is needed: set SYSTEM_PYTHON)) operate/install.py
ARGS ?=

.PHONY: help install install-dev demo test lint audit chaos evals bench lock

help:  ## this list
	@awk -F ':.*## *' '/^[a-z-]+:.*##/ { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

install:  ## make .venv with everything that runs (the other targets do it by themselves)
	@$(INSTALL)

install-dev:  ## the same with what tests and checks need
	@$(INSTALL) --dev

demo: install  ## start everything, watch a run lose its worker and finish; ARGS=--once ends by itself
	@$(PYTHON) -m operate.demo $(ARGS)

test: install-dev  ## all tests
	@$(PYTHON) -m pytest $(ARGS)

lint: install-dev  ## ruff, mypy, import contracts
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy .
	@.venv/bin/lint-imports

audit: install-dev  ## unsafe code, secrets in the repository, packages with known holes
	@$(PYTHON) -m operate.code_audit $(ARGS)

chaos: install-dev  ## long fault runs; ARGS="--runs 10000 --seed 1"
	@$(PYTHON) -m pytest -m chaos tests
	@$(PYTHON) -m chaos $(ARGS)

evals: install  ## the labelled sets of intent, quality and the rule-level writer, as tables
	@$(PYTHON) -m evals $(ARGS)

bench: install-dev  ## ratios against bare Celery and others, written to docs/benchmarks.md with a chart
	@$(PYTHON) -m bench $(ARGS)

lock: install  ## make the lock files anew from the *.in files
	@$(INSTALL) --lock
