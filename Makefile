# Every target does its own set-up: a virtual environment in .venv with exactly the versions of constraints.txt,
# made once and again when pyproject.toml or constraints.txt change. What a machine needs: make and Python 3.11+.

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# Tests wait more than they compute: three workers, each with a mongod of its own, keep two cores busy.
WORKERS ?= 3

.PHONY: help demo big-orders pricing test check lint types imports chaos stories bench reference format image clean
.DEFAULT_GOAL := help

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

demo: $(READY) ## the whole thing on this machine: a MongoDB, a mailbox, orders, and mails about the big ones
	@$(BIN)/mtrigger demo

big-orders: $(READY) ## an example: orders in PostgreSQL, mails and topics about the big ones
	@$(BIN)/python examples/run.py $@

pricing: $(READY) ## an example: costs change, prices follow, and everybody hears of it
	@$(BIN)/python examples/run.py $@

test: check ## everything that has to pass: lint, types, imports and all tests
	@$(BIN)/pytest -n $(WORKERS) --dist worksteal

check: lint types imports ## lint, types and imports, without the tests

lint: $(READY) ## ruff: rules and formatting
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .

types: $(READY) ## mypy --strict
	@$(BIN)/mypy

imports: $(READY) ## import-linter: imports go down only
	@$(BIN)/lint-imports --no-logo

chaos: $(READY) ## 1,000 documents while the engine is killed every 5 s, and a primary with it (6 minutes)
	@for variant in "--members 1" "--members 1 --without-images" "--members 3"; do \
		PYTHONPATH=tests $(BIN)/python tests/faults/chaos.py $$variant || exit 1; \
	done

stories: $(READY) ## both examples while one of their parts is killed again and again (4 minutes)
	@for story in big-orders pricing; do \
		PYTHONPATH=tests $(BIN)/python tests/faults/stories.py $$story --kills 40 || exit 1; \
	done

bench: $(READY) ## how close to the limit: every benchmark, each beside a raw loop, as one table (5 minutes)
	@$(BIN)/python -m benchmarks

reference: $(READY) ## docs/rule-reference.md, triggers.schema.json and the pictures of rules anew
	@$(BIN)/mtrigger schema --format markdown > docs/rule-reference.md
	@$(BIN)/mtrigger schema > triggers.schema.json
	@$(BIN)/mtrigger graph --output docs/images/triggers.svg
	@SOE_URL=postgresql:/// $(BIN)/mtrigger graph --rules examples/big-orders/triggers \
		--sources examples/big-orders/sources --output examples/big-orders/flow.svg
	@$(BIN)/mtrigger graph --rules examples/pricing/triggers --output examples/pricing/flow.svg

format: $(READY) ## let ruff mend what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

image: ## the container image, as mtrigger:latest
	docker build --tag mtrigger .

clean: ## remove the virtual environment and what the tools left
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build

$(READY): pyproject.toml constraints.txt
	@if [ ! -x $(BIN)/pip ]; then \
		for python in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
			if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found="$$python"; break; fi; \
		done; \
		if [ -z "$$found" ]; then \
			echo "mtrigger needs Python 3.11 or newer: install it, or say where it is with \`make PYTHON=/path/to/python3\`" >&2; exit 1; \
		fi; \
		if ! "$$found" -c 'import ensurepip, venv' 2>/dev/null; then \
			echo "this Python cannot make virtual environments: on Debian and Ubuntu run \`apt-get install python3-venv\`" >&2; exit 1; \
		fi; \
		echo "making $(VENV) with $$("$$found" --version)"; \
		"$$found" -m venv $(VENV); \
	fi
	@echo "installing mtrigger and what its tests need into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@
