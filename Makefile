# Everything that a person or CI runs. `make help` lists it.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := orchestrator sandbox_server clients tests
# What `make proto-breaking` compares the contract with: the main branch, or where we are it, what came before.
PROTO_BASE ?= $(shell main=$$(git rev-parse -q --verify origin/main || git rev-parse HEAD); \
  if [ "$$main" = "$$(git rev-parse HEAD)" ]; then echo HEAD~1; else echo origin/main; fi)

.DEFAULT_GOAL := help
.PHONY: help setup demo test check proto proto-check proto-breaking format lint types imports bench bench-peers images images-lock clean

help:  ## List the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

setup: $(VENV)/.installed  ## Make the virtual environment with everything in it

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Cupel needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V). Try: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "$(PYTHON) lacks its venv module. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@echo "Setting up $(VENV) (once) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: setup  ## Judge the demo dataset: real samples of every fate
	@$(BIN)/cupel evaluate --dataset demo --pass-k 1,3 --out results/demo --no-resume --allow-weak-isolation

test: setup  ## Run all tests
	@$(BIN)/pytest

check: setup lint types imports proto-check  ## Run every gate but the tests

lint: setup  ## Check style and formatting
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/ruff format --check $(SOURCES)

types: setup  ## Check types
	@$(BIN)/mypy

imports: setup  ## Check that the layers hold
	@$(BIN)/lint-imports

format: setup  ## Format the sources and the contract
	@$(BIN)/ruff check --fix --select I $(SOURCES)
	@$(BIN)/ruff format $(SOURCES)
	@$(BIN)/buf format -w proto

proto: setup  ## Generate the stubs of the contract
	@$(BIN)/python clients/python/generate.py

proto-check: setup  ## Check the contract: style, format, stubs, compatibility
	@$(BIN)/buf lint proto
	@$(BIN)/buf format --diff --exit-code proto
	@$(BIN)/python clients/python/generate.py --check
	@$(MAKE) --no-print-directory proto-breaking

proto-breaking: setup
	@if git cat-file -e $(PROTO_BASE):proto/buf.yaml 2>/dev/null; then \
	  $(BIN)/buf breaking proto --against ".git#ref=$$(git rev-parse $(PROTO_BASE)),subdir=proto"; \
	else echo "No earlier contract at $(PROTO_BASE): nothing to compare with."; fi

bench: setup  ## Measure: samples per second beside HumanEval's own evaluator, cost of a cell, memory
	@$(BIN)/python -m tests.performance

bench-peers: setup  ## Compare with the original evaluators on the same samples (PEERS='--only humaneval'; all of it: half an hour)
	@$(BIN)/python -m tests.performance.peers $(PEERS)

images: setup  ## Build the images of all environments (IMAGES_NETWORK=host where builds need this machine's network)
	@$(BIN)/cupel-sandbox images build $(IMAGES)

# Kept pins stay as they are; `make images-lock UPGRADE=--upgrade` takes what is newest. For the oldest Python that an
# image may have: Debian 12's.
images-lock:  ## Pin the packages of all images, with hashes
	@folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; set -e; \
	$(PYTHON) -m venv "$$folder"; "$$folder/bin/pip" install --quiet --disable-pip-version-check uv; \
	for from in deploy/images/*/requirements*.in; do \
	  echo "$${from%.in}.lock"; \
	  "$$folder/bin/uv" pip compile --quiet --no-config $(UPGRADE) \
	    --generate-hashes --no-annotate --no-header --python-version 3.11.2 --python-platform x86_64-manylinux_2_28 \
	    "$$from" --output-file "$${from%.in}.lock" > /dev/null; \
	done

clean:  ## Remove what the other commands made
	rm -rf $(VENV) results .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
