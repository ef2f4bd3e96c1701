# `make demo` and `make test` are all a newcomer needs: both set up .venv first. PYTHON chooses the interpreter.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-gpu lint format docs clean

demo: $(VENV)/.installed-runtime  ## two synthetic cameras, the fusion node and a recorder, live over DDS
	$(BIN)/refinefuse demo --output out/demo

test: $(VENV)/.installed-dev  ## lint and the whole test suite
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest --numprocesses 2 --dist loadgroup
	$(BIN)/python .ci/instruction_sets.py

test-gpu: $(VENV)/.installed-gpu  ## what an NVIDIA GPU must show; the report is out/gpu/report.md
	$(BIN)/python -m pytest tests/gpu

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.installed-dev  ## docs/parameters.md and config/fuse.yaml from the parameter table
	$(BIN)/python -m refinefuse_ros.nodes.parameter_docs

clean:
	rm -rf $(VENV) build install log out *.egg-info

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip

$(VENV)/.installed-runtime: setup.py | $(BIN)/python
	$(BIN)/pip install -qq --editable ".[ros]"
	@touch $@

$(VENV)/.installed-dev: setup.py | $(BIN)/python
	$(BIN)/pip install -qq --editable ".[dev]"
	@touch $@ $(VENV)/.installed-runtime

$(VENV)/.installed-gpu: setup.py | $(BIN)/python
	$(BIN)/pip install -qq --editable ".[gpu]"
	@touch $@
