# `make` lists the targets. Each one does all of its own set-up.

PYTHON = python3
BACKEND = tensorflow
CONSTRAINTS = constraints.txt

SHELL = /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install run report lab test test-all test-backends lint benchmark \
    address clean

ifeq ($(filter tensorflow jax torch,$(BACKEND)),)
$(error BACKEND must be tensorflow, jax or torch. Received: $(BACKEND))
endif
ifeq ($(wildcard $(CONSTRAINTS)),)
$(error CONSTRAINTS must be a file that exists. Received: $(CONSTRAINTS))
endif

# .venv, .venv-jax, .venv-torch, .venv-colab: each backend and set has its own.
venv := .venv$(patsubst %,-%,$(filter-out tensorflow,$(BACKEND)))
venv := $(venv)$(patsubst constraints%.txt,%,$(notdir $(CONSTRAINTS)))
venv_python := $(venv)/bin/python
installed := $(venv)/.installed

# Every NAME=VALUE of the command line goes to the script as it was typed: with
# unknown names, which the script refuses, and without the environment's.
quote = '$(subst ','\'',$(1))'
names := $(foreach name,$(sort $(.VARIABLES)),$(if \
    $(filter command,$(firstword $(origin $(name)))),$(name)))
names := $(filter-out PYTHON CONSTRAINTS,$(names))
given = $(foreach name,$(names),$(call quote,$(name)=$(value $(name))))

# Make would also export them, expanded: a `$` in a path is not a variable.
ifneq ($(names),)
unexport $(names)
endif
MAKEOVERRIDES =

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-13s %s\n", $$1, $$2}' \
	    Makefile
	@echo 'Add BACKEND=jax or torch to do without TensorFlow, and'
	@echo 'PYTHON=python3.12 to build .venv with another Python.'

install: $(installed) ## Build .venv, which every target does if need be

run: $(installed) ## Run notebooks 01 to 05 [DATASET=... BASE=... OUT=...]
	@$(venv_python) tools/run.py $(given)

report: $(installed) ## Notebooks 01 to 06 and 09, then tables and plots [as run]
	@PYTHONPATH=tools $(venv_python) -m benchmarks.report $(given)

lab: $(installed) ## Run the lab's notebook with its solutions [DATASET=... BASE=...]
	@$(venv_python) tools/run.py NOTEBOOKS=breeds_lab DATASET=sample_breeds \
	    SOLUTION=True $(given)

# Other backends run what computes with Keras, the notebooks among it.
quick := not slow$(if $(filter tensorflow,$(BACKEND)),, and backend)
# What reads the repository's texts finds the same with every set.
texts := tests/test_package_static.py tests/test_readme.py \
    tests/notebooks/test_notebooks_static.py
skipped := $(if $(filter .venv,$(venv)),,$(addprefix --ignore=,$(texts)))
pytest := $(venv_python) -m pytest -q -ra --durations=10

test: $(installed) ## Run the tests, except those that take minutes each
	@KERAS_BACKEND=$(BACKEND) $(pytest) -n 2 $(skipped) -m '$(quick)'

# What measures speed has the machine to itself.
test-all: $(installed) ## Run the tests that take minutes each
	@status=0; \
	$(pytest) -n 2 --dist loadfile -m 'slow and not alone' || status=1; \
	$(pytest) -m 'slow and alone' || status=1; exit $$status

test-backends: ## Run the quick tests on JAX, PyTorch and with Colab's versions
	@status=0; for set in BACKEND=jax BACKEND=torch \
	    CONSTRAINTS=constraints-colab.txt; do \
	    echo "make test $$set"; \
	    $(MAKE) --no-print-directory test $$set || status=1; \
	done; exit $$status

lint: $(installed) ## Check the style of code and notebooks
	@$(venv_python) -m ruff check .
	@$(venv_python) -m ruff format --check .

benchmark: $(installed) ## Measure speed and memory [ROWS=a,b RECORD=yes]
	@$(venv_python) -m benchmarks.benchmark $(given)

address: ## Set the address everywhere: REPOSITORY=owner/name REF=v1
	@$(call quote,$(PYTHON)) tools/address.py $(given)

clean: ## Remove .venv and caches; data and runs stay
	rm -rf .venv .venv-* .pytest_cache .ruff_cache catdog_helpers.egg-info
	find catdog_helpers notebooks tests tools -name __pycache__ -prune \
	    -exec rm -rf {} +

pip := $(venv_python) -m pip install --quiet --disable-pip-version-check
# Without their dependencies, which bring TensorFlow; for recent Keras only.
alone := $(if $(filter constraints.txt,$(CONSTRAINTS)),keras-hub tokenizers)
# Only the last line makes the stamp: a build that failed starts again.
log := $(venv)/install.log
supported := import sys; v = sys.version_info[:2]; \
    sys.exit(None if (3, 11) <= v <= (3, 13) else "it is %d.%d" % v)

$(installed): requirements.txt $(CONSTRAINTS) pyproject.toml \
    $(wildcard .ci/requirements.py)
	@why=$$($(call quote,$(PYTHON)) -c '$(supported)' 2>&1) || { \
	    echo "TensorFlow needs Python 3.11, 3.12 or 3.13. Received:" \
	        $(call quote,PYTHON=$(PYTHON)) "($$why). Name another one:" \
	        "PYTHON=python3.12" >&2; exit 1; }
	@echo 'Installing into $(venv) (once; takes a few minutes) ...'
	@mkdir -p $(venv)
	@$(call quote,$(PYTHON)) -m venv $(venv) >$(log) 2>&1 || { \
	    echo "No .venv could be made (on Debian and Ubuntu, install" \
	        "python3-venv first): $$(tail -n 1 $(log))" >&2; exit 1; }
	@{ $(venv_python) .ci/requirements.py $(BACKEND) >$(venv)/needed.txt && \
	    $(pip) -r $(venv)/needed.txt -c $(CONSTRAINTS) && \
	    $(pip) --no-deps -c $(CONSTRAINTS) -e . $(alone); } >$(log) 2>&1 || { \
	    echo "Installing failed (it needs a package index and 3 GB of" \
	        "disk; see $(log)): $$(grep 'ERROR: ' $(log) | tail -n 1)" \
	        >&2; exit 1; }
	@touch $@
