# Same verbs by hand and in CI. `make help` lists them.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo up test check readme format bench bench-pairs false-positives planted-truth results chaos containers-check constraints clean

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## make .venv with everything in it

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; say which: make PYTHON=python3.12 ..."; exit 1; }
	@echo "Installing into $(VENV): a few minutes the first time"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $(STAMP)

demo: install ## everything on this machine: a study of a simulated sky on real weights
	$(BIN)/samesky demo

up: install ## Redis, embedder, scorer, reconciler and api on this machine, until Ctrl-C
	$(BIN)/samesky up

test: install ## all tests, against real embedded servers
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

check: install ## style, types, layers, README tables, known vulnerabilities of what is pinned
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/tables.py --check
	$(BIN)/python .ci/audit.py

readme: install ## write the README's tables anew from the code
	$(BIN)/python docs/tables.py
	$(BIN)/python docs/corpus.py

format: install ## put the code into its standard form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: install ## ratios against plain implementations, measured in one run
	$(BIN)/python -m benchmarks

chaos: install ## kill and break real processes at seeded moments, and judge what became of their work; SEED=n for one
	$(BIN)/python -m chaos --seeds $(or $(SEED),1-10)

false-positives: install ## how often unrelated embeddings are called alike: 2,000 pairs, about 5 minutes
	$(BIN)/python -m benchmarks.false_positives

planted-truth: install ## MKNN against a simulated sky whose truth is known: about 6 minutes
	$(BIN)/python -m benchmarks.planted_truth

results: install ## studies of real galaxies, and docs/results.md anew: about half an hour
	$(BIN)/python -m docs.results

bench-pairs: install ## memory, queues and fairness over a study of 10,000 pairs: about 15 minutes
	$(BIN)/python -m benchmarks.many_pairs

containers-check: ## build the images, run a study in containers, and see that its scores survive
	docker/check

constraints: ## pin anew every package, from a fresh environment
	$(PYTHON) -m venv build/pin
	# torch stays as it is, since its default wheel brings CUDA; redis wants async-timeout of Python before 3.11.3
	build/pin/bin/python -m pip install --quiet '.[dev]' async-timeout "$$(grep '^torch==' constraints.txt)"
	{ echo "# Every package this project may install, pinned. Regenerate: make constraints"; \
	  build/pin/bin/python -m pip list --format=freeze --exclude samesky --exclude pip \
	  | sed 's/+cpu$$//' | sort -f; } > constraints.txt

clean: ## remove .venv and what tools left; keeps samesky-data
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
