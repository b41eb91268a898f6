# `make help` lists what there is. Everything runs in virtual environments of its own; nothing is installed elsewhere.
# A stamp file in an environment says that its packages are in place, so that a second call is instant.

PYTHON ?=
# The service's own variables count too. On the command line PORT, HOST and MODELS come before them.
PORT ?= 8000
ifdef MMOE_PORT
PORT := $(MMOE_PORT)
endif
# Only this machine, except in a container, where nobody outside could reach that: there all of its addresses.
HOST ?= $(if $(wildcard /.dockerenv /run/.containerenv),0.0.0.0,127.0.0.1)
ifdef MMOE_HOST
HOST := $(MMOE_HOST)
endif
MODELS ?= models
ifdef MMOE_MODELS
MODELS := $(MMOE_MODELS)
endif
DEMO ?= scripts/configs/synthetic.toml

VENV := .venv
SERVICE_VENV := .venv-service
CLIENTS_VENV := .venv-clients
LOCK_VENV := .venv-lock
BIN := $(VENV)/bin
PINS := pyproject.toml constraints.txt
INSTALL := -m pip --disable-pip-version-check install -c constraints.txt
BESIDE := -n 3 --dist loadfile
COVERAGE :=
PASSED := build/passed-without-torch.txt

# On Linux, PyTorch's default wheel brings gigabytes of CUDA: say so where there is no GPU and pip has no other source.
CPU_HINT = [ "$$(uname -s)" != Linux ] || command -v nvidia-smi >/dev/null \
  || $(BIN)/python -m pip config list | grep -E 'index|find-links' >/dev/null || echo "No GPU here? Stop this, and start it as \
PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make $(MAKECMDGOALS): a fraction of the download."

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help serve train config score promote study tune test test-service clients ray check soak bench bench-train bench-scale format lock audit clean

help:  ## Say what there is to make
	@echo 'make serve                      train the demo model if there is none, then serve it'
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo 'Settings: PORT=$(PORT) HOST=$(HOST) MODELS=$(MODELS) CONFIG=a.toml SET="train.epochs=3" PYTHON=/path/to/python'

serve: $(VENV)/.train  ## Install, train the demo model if there is no model yet, and serve it (PORT=8000)
	@trap 'exit 0' INT; ls $(MODELS)/*/*/model.onnx >/dev/null 2>&1 \
	  || { echo "No model in $(MODELS)/ yet: training the demo ($(DEMO)), less than a minute ..." \
	  && $(BIN)/python -m scripts.train $(DEMO) --models $(MODELS); }
	@MMOE_MODELS=$(MODELS) MMOE_HOST=$(HOST) MMOE_PORT=$(PORT) exec $(BIN)/python -m service

train: config $(VENV)/.train  ## Train on a config and publish the model (CONFIG=a.toml, SET="key=value ...", ARGS="--from latest")
	@$(BIN)/python -m scripts.train $(CONFIG) --models $(MODELS) $(ARGS) $(foreach pair,$(SET),--set $(pair))

config:
	@[ -n "$(CONFIG)" ] || { echo 'Say which config: make train CONFIG=scripts/configs/synthetic.toml' >&2; exit 2; }

score: $(VENV)/.train  ## Score a table by a model (MODEL=models/NAME INPUT=rows/ OUTPUT=predictions/ ARGS="--keep id")
	@[ -n "$(MODEL)" ] && [ -n "$(INPUT)" ] && [ -n "$(OUTPUT)" ] \
	  || { echo 'Say what to score: make score MODEL=models/NAME INPUT=rows/ OUTPUT=predictions/' >&2; exit 2; }
	@$(BIN)/python -m scripts.score $(MODEL) $(INPUT) $(OUTPUT) $(ARGS)

promote: $(VENV)/.train  ## Say which version is served (MODEL=models/NAME VERSION=3 ARGS="--canary 0.05", or ARGS=--rollback; none: look)
	@[ -n "$(MODEL)" ] || { echo 'Say of which model: make promote MODEL=models/NAME VERSION=3' >&2; exit 2; }
	@$(BIN)/python -m scripts.promote $(MODEL) $(VERSION) $(ARGS)

study: $(VENV)/.study  ## Repeat the paper's synthetic study, or a table's, and write its page (ARGS="--quick", "census", "hotel", "defaults")
	@$(BIN)/python -m scripts.study $(ARGS)

tune: config $(VENV)/.tune  ## Search for a better configuration on validation rows (CONFIG=a.toml ARGS="--minutes 30")
	@$(BIN)/python -m scripts.tune $(CONFIG) $(foreach pair,$(SET),--set $(pair)) $(ARGS)

# Most tests run on three processes, since many wait for a program or a browser of theirs; those that load the machine
# run alone, after them. pytest's status 5, no test at all, is a failure only where neither part has one.
test: $(VENV)/.dev  ## Run the tests (ARGS="-k gates" passes anything to pytest)
	@together=0; $(BIN)/python -m pytest --lane=together $(BESIDE) $(COVERAGE) $(ARGS) || together=$$?; \
	case $$together in 0|1|5) ;; *) exit $$together;; esac; \
	alone=0; $(BIN)/python -m pytest --lane=alone $(ARGS) || alone=$$?; \
	[ $$alone != 5 ] || exit $$together; [ $$alone = 0 ] || exit $$alone; [ $$together = 5 ] || exit $$together

test-service: $(SERVICE_VENV)/.service  ## Run the service's tests where torch is not installed
	@$(SERVICE_VENV)/bin/python -m pytest tests/service tests/test_layering.py $(BESIDE) $(COVERAGE) $(ARGS)

clients: $(CLIENTS_VENV)/.clients  ## Install the clients of other projects, which the tests marked clients call
	@:

# The service's tests run without torch; `make test` then leaves out those that have passed so.
check: $(VENV)/.dev  ## Format, lint, types, layering and tests with coverage, in that order: what CI runs
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@rm -f build/coverage
	@$(MAKE) --no-print-directory test-service COVERAGE='--cov --cov-report= --cov-fail-under=0' ARGS='--passed-to=$(PASSED)'
	@$(MAKE) --no-print-directory test COVERAGE='--cov --cov-append --cov-report=term' ARGS='--but-passed=$(PASSED)'

ray: $(VENV)/.ray  ## Install Ray, for scoring on a cluster and its tests
	@:

soak: $(VENV)/.dev  ## Break the service long and hard: the tests of faults with more effort, about a quarter of an hour
	@$(BIN)/python -m pytest -m soak $(ARGS)

bench: $(VENV)/.dev  ## Measure the service beside the floor and a service by hand; table and plot (ARGS="--quick")
	@$(BIN)/python -m benchmarks --models $(MODELS) $(ARGS)

bench-train: $(VENV)/.dev  ## Measure the trainer beside a DataLoader's (MMOE_DATA names the tables), and stacked runs
	@$(BIN)/python -m benchmarks.train $(ARGS)
	@$(BIN)/python -m benchmarks.ensemble

bench-scale: $(VENV)/.dev  ## Train, kill, resume and serve 20 million rows, and measure the bars of large tables (ARGS="--only ids buffer")
	@OMP_WAIT_POLICY=passive $(BIN)/python -m benchmarks.scale $(ARGS)

format: $(VENV)/.dev  ## Format the code and mend what ruff can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: $(LOCK_VENV)/.lock  ## Write the hashes of the images' packages from constraints.txt to deploy/requirements/
	@$(LOCK_VENV)/bin/python -m scripts.lock

audit: $(LOCK_VENV)/.lock  ## Look the images' packages up among known vulnerabilities, where that data is reached
	@$(LOCK_VENV)/bin/python -m scripts.lock --audit

clean:  ## Remove environments, caches and build leftovers; models stay
	@rm -rf $(VENV) $(SERVICE_VENV) $(SERVICE_VENV)-3.14 $(CLIENTS_VENV) $(LOCK_VENV)
	@rm -rf build mmoe_client/build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.train: $(PINS) | $(VENV)/bin/python
	@echo 'Installing the trainer and the service into $(VENV) (most of it downloads) ...'
	@$(CPU_HINT)
	@$(BIN)/python $(INSTALL) $(if $(wildcard $@),-q) -e '.[train]'
	@touch $@

$(VENV)/.study: $(VENV)/.train
	@$(BIN)/python $(INSTALL) -q -e '.[train,study]'
	@touch $@

$(VENV)/.tune: $(VENV)/.train
	@$(BIN)/python $(INSTALL) -q -e '.[train,tune]'
	@touch $@

$(VENV)/.ray: $(VENV)/.dev
	@$(BIN)/python $(INSTALL) -q -e '.[train,ray]'
	@touch $@

$(VENV)/.dev: $(PINS) | $(VENV)/bin/python
	@echo 'Installing the trainer, the service and the tools into $(VENV) (most of it downloads) ...'
	@$(BIN)/python $(INSTALL) -q -e '.[train,study,dev]'
	@touch $(VENV)/.train $(VENV)/.study $@

$(SERVICE_VENV)/.service: $(PINS) | $(SERVICE_VENV)/bin/python
	@echo 'Installing the service alone into $(SERVICE_VENV) ...'
	@$(SERVICE_VENV)/bin/python $(INSTALL) -q -e . pytest pytest-cov pytest-xdist hypothesis httpx onnx
	@touch $@

$(CLIENTS_VENV)/.clients: tests/clients/requirements.txt | $(CLIENTS_VENV)/bin/python
	@echo 'Installing tritonclient and kserve into $(CLIENTS_VENV) ...'
	@$(CLIENTS_VENV)/bin/python -m pip --disable-pip-version-check install -q -r $<
	@touch $@

$(LOCK_VENV)/.lock: deploy/requirements/tools.txt | $(LOCK_VENV)/bin/python
	@echo 'Installing uv and pip-audit into $(LOCK_VENV) ...'
	@$(LOCK_VENV)/bin/python -m pip --disable-pip-version-check install -q -r $<
	@touch $@

# Find a Python >= 3.11 that can make virtual environments: $(PYTHON) if given, else python3, else a versioned one.
%/bin/python:
	@for python in $(or $(PYTHON),python3 python3.13 python3.12 python3.11 python3.14 python); do \
	  $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue; \
	  $$python -c 'import venv, ensurepip' >/dev/null 2>&1 \
	    || { echo "$$python has no venv module; on Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1; }; \
	  echo "Making $* with $$($$python --version) ..."; \
	  exec $$python -m venv $*; \
	done; \
	echo "No Python 3.11 or newer was found$(if $(PYTHON), at $(PYTHON)); install one, or name it: make PYTHON=/path/to/python3.12" >&2; \
	exit 1
