# Two commands: `make` trains a LeNet-5 on built-in digits, `make test` runs every check.
# While you work on lenet: `make check`, which leaves out the slow tests.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install -qq --constraint constraints.txt
SETUP := pyproject.toml constraints.txt

.PHONY: train test check lint bench tables images clean

train: .venv/.installed
	$(BIN)/lenet train

test: lint
	$(BIN)/pytest -n 2 --dist loadfile

check: lint
	$(BIN)/pytest -n 2 --dist loadfile -m 'not slow'

lint: .venv/.installed-for-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Needs Fashion-MNIST (see LENET_DATA in the README) and an otherwise idle machine.
bench: .venv/.installed-for-tests
	$(BIN)/lenet bench

# The tables of the documentation, from results/*.json; the map, from the source.
tables: .venv/.installed
	$(BIN)/python docs/tables.py
	$(BIN)/python docs/map.py

# The pictures of the documentation, from results/ and the weights.
images: .venv/.installed
	$(BIN)/python docs/images.py

.venv/.installed: $(SETUP)
	@echo "Installing lenet into .venv; this takes a minute or two."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "lenet needs Python 3.11 or newer; try: make PYTHON=python3.12")'
	@$(PYTHON) -m venv .venv
	@$(PIP) --editable .
	@touch $@

.venv/.installed-for-tests: .venv/.installed
	@echo "Installing what the tests need."
	@$(PIP) --editable '.[bench,test]'
	@touch $@

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis dist
