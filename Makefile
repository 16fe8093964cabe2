# Every target sets up what it needs; on a bare machine that is python3 with its venv module, make and git.
# PYTHON=/path/to/python3.x makes .venv with another Python.

PYTHON ?= python3
BIN := .venv/bin
# Set-up is skipped while these are newer than what they were made from.
RUN := .venv/.installed-run
DEV := .venv/.installed-dev

export PYTHON

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo up test check rules mutate simulate prove proto bench lock venv

help: ## this list
	@echo "Automatic Image Policy. Targets:"
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do \
		printf '  make %-8s %s\n' "$$name" "$$text"; done

demo: $(RUN) ## live through four virtual days in a minute, and check every image at the end
	@$(BIN)/autoimage demo

up: $(RUN) ## run the four services on ./data, until Ctrl-C
	@$(BIN)/autoimage up

test: $(DEV) ## all tests but the walk-throughs, which need other clients (ARGS="-k name" for some)
	@$(BIN)/python -m pytest -n 2 --ignore tests/clients $(ARGS)

check: $(DEV) ## formats, lints, types, layers, contracts, duplicates: all of them, and every finding
	@$(BIN)/python -m tools.check

rules: $(DEV) ## the rules of docs/rules.md, and how many tests of each pass
	@$(BIN)/python -m tools.rules $(ARGS)

mutate: $(DEV) ## break the domains in 300 ways, and see how many the tests notice (ARGS="--seed 7 --count 50")
	@$(BIN)/python -m tools.mutate $(ARGS)

simulate: $(DEV) ## simulate everything that can go wrong (SEEDS=1000; SEED=17 replays one, and tells its story)
	@$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED) --aim '$(AIM)',$(if $(SEEDS),--seeds $(SEEDS)))

prove: $(DEV) ## storms, leaps of the clock, the simulation and a backlog at full size: takes hours
	@AUTOIMAGE_BACKLOG=100000 $(BIN)/python -m pytest -n 0 -m prove tests/chaos
	@$(BIN)/python -m tests.simulation --seeds 10000
	@AUTOIMAGE_BACKLOG=100000 $(BIN)/python -m pytest -n 0 tests/simulation/test_backlog.py

proto: $(DEV) ## write autoimage/ anew from protos/
	@$(BIN)/python -m tools.generate

bench: $(RUN) ## measure speed and memory
	@$(BIN)/python -m bench

lock: ## resolve the dependencies anew (ARGS=--upgrade for the newest)
	@tools/lock $(ARGS)

venv: $(DEV) ## set up .venv with everything, for an editor

$(RUN): requirements.lock pyproject.toml tools/setup-venv
	@tools/setup-venv requirements.lock
	@touch $@

$(DEV): requirements-dev.lock pyproject.toml tools/setup-venv
	@tools/setup-venv requirements-dev.lock
	@touch $(RUN) $@
