# Two commands: `make` (environment, then the whole pipeline up to the finished book) and
# `make test`. Make looks after the environment only; what depends on what in the pipeline is
# written down in workflow/Snakefile.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := book
.PHONY: book full env test test-book test-compiler test-slurm fuzz lint lab clean help

PYTHON ?= python3
CORES ?= $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
WORKERS ?= 2
ARGS ?=
FUZZ ?= 60

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Present while an installation is under way: found at the start, the last one was cut off.
BROKEN := $(VENV)/.installing

# An environment knows where it was made. In a copied or moved folder it would quietly run the
# package of the old place, so there it is made anew.
ifneq ($(shell cat $(STAMP) 2>/dev/null || echo "$(CURDIR)"),$(CURDIR))
.PHONY: $(STAMP)
MOVED := --clear
endif

# Snakemake's own lock outlives a killed run and would have to be removed by hand. flock's goes
# with its process; where there is no flock (macOS), Snakemake's is kept.
FLOCK := $(shell command -v flock 2>/dev/null)
# The study waits for one run and is long: both go first, or all would wait for it at the end.
SNAKEMAKE := $(BIN)/python -m snakemake --cores $(CORES) --rerun-incomplete --prioritize ablation
ifdef FLOCK
SNAKEMAKE := flock .snakemake/make.lock $(SNAKEMAKE) --nolock
endif

book: $(STAMP)  ## (default) run the pipeline, build the book: results/book/_build/html/index.html
	@mkdir -p .snakemake
	@if [ -n "$(FLOCK)" ] && ! flock -n .snakemake/make.lock true; then \
		echo "==> another run is at work in this folder: waiting for it to end"; \
	fi
	@echo "==> running the pipeline on $(CORES) cores"
	PATH="$(CURDIR)/$(BIN):$$PATH" $(SNAKEMAKE) book $(ARGS)
	@echo "==> done: open results/book/_build/html/index.html"

full: override ARGS += --config full=1
full: book  ## the same with the larger detectors of the tables and three seeds of every row: an hour and a half

env: $(STAMP)  ## install everything into .venv, nothing else

$(STAMP): constraints.txt pyproject.toml environment.yml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Python 3.11 or later is needed, but '$(PYTHON)' is $$($(PYTHON) --version 2>/dev/null || echo missing)."; \
		echo "Name another one: make PYTHON=/path/to/python3.11"; \
		exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "'$(PYTHON)' cannot make environments. On Debian and Ubuntu: apt-get install python3-venv"; \
		exit 1; }
	@mkdir -p $(VENV); case "$$(cd $(VENV) && pwd -P)" in "$$(pwd -P)"/*) ;; *) \
		echo "VENV=$(VENV) lies outside this folder, and what is there would be emptied. Leave VENV as it is."; \
		exit 1;; esac
	@echo "==> making the environment in $(VENV) (several minutes and gigabytes the first time)"
	@clear="$(MOVED)"; if [ -e $(BROKEN) ]; then \
		echo "==> the last installation was cut off: starting again"; clear=--clear; fi; \
	if [ -n "$$clear" ] || ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
		$(PYTHON) -m venv --clear $(VENV); fi
	@touch $(BROKEN)
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off \
		-c constraints.txt -e ".[app,book,test,weights]"
	@echo "$(CURDIR)" > $@
	@rm -f $(BROKEN)
	@echo "==> the environment is ready"

# One thread a worker: two pytest workers with all cores each would only wait for one another. The
# notebooks are long and come first, or one worker would be at the last of them by itself.
test: $(STAMP)  ## run all tests, the notebooks included: make test ARGS="-k bosc"
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 \
		$(BIN)/python -m pytest -n $(WORKERS) --dist loadscope --no-loadscope-reorder --nbval notebooks tests $(ARGS)

test-book: $(STAMP)  ## walk every page of the built book, or of a quick one, in a browser
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m book tests/test_book_pages.py

test-compiler: $(STAMP)  ## compile two networks with torch's own code generator (needs g++)
	$(BIN)/python -m pytest -m compiler tests

# Not being able to start SLURM is no failure of this project, and must not pass in silence either.
test-slurm: $(STAMP)  ## run the workflow on a real SLURM, started here and stopped after (minutes)
	@code=0; $(BIN)/python tests/slurm_cluster.py true || code=$$?; \
	if [ $$code -eq 77 ]; then \
		echo "==> SKIPPED: SLURM cannot run here, so NOTHING about the cluster was tested"; \
	elif [ $$code -ne 0 ]; then exit $$code; \
	else OMP_NUM_THREADS=1 $(BIN)/python -m pytest -p no:xdist -m slurm tests/test_slurm.py $(ARGS); fi

# There is no atheris for every machine; that nothing was guided must not pass in silence.
fuzz: $(STAMP)  ## judge 2,000 broken files, and break tables, weights, figures for FUZZ seconds each
	OMP_NUM_THREADS=1 $(BIN)/python tests/fuzz.py 2000
	@if $(BIN)/python -c "import atheris" 2>/dev/null; then \
		for reader in $$($(BIN)/python tests/fuzz_readers.py); do \
			echo "==> $$reader: $(FUZZ) s"; \
			OMP_NUM_THREADS=1 $(BIN)/python tests/fuzz_readers.py $$reader -max_total_time=$(FUZZ) \
				-artifact_prefix=tests/ -verbosity=0; \
		done; \
	else echo "==> SKIPPED: there is no atheris here, so the readers of tables, weights and figures were NOT fuzzed"; fi

lint: $(STAMP)  ## check formatting, style, layers (who imports whom) and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/mypy

lab: $(STAMP)  ## open the notebooks in JupyterLab
	$(BIN)/python -m jupyter lab notebooks

clean:  ## remove what the demo and the tests made; the environment and preset paper stay
	rm -rf {data,runs,results}/{demo,test} results/{book,logs} book/generated .snakemake

help:  ## show this list
	@awk -F ':.*##' '/^[a-z-]+:.*##/ {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
