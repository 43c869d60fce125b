PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
ARGS   ?=

.DEFAULT_GOAL := help
.PHONY: help install demo test lint types contracts tests

help: ## what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/.installed ## .venv with the service, the training stack and the developers' tools

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Croft needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1)." \
	       "Type: make install PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || { \
	  echo "'$(PYTHON)' cannot make virtual environments. On Debian or Ubuntu type:" \
	       "apt-get install python3-venv" >&2; exit 1; }
	@echo "Installing into $(VENV): the first time this downloads several GB (torch) ..."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt \
	  --editable '.[service,training,cpu,heif,otel,redis]' --group dev
	@touch $@

demo: install ## the whole loop on the embedded Toybox; ARGS=--once stops at the end
	$(BIN)/croft demo $(ARGS)

test: lint types contracts tests ## lint, types, import contracts, tests: what .ci/run runs

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

contracts: install
	$(BIN)/lint-imports

tests: install
	$(BIN)/python -m pytest -m 'not gpu' $(ARGS)
