# `make app` sets everything up and opens the page; `make test` sets everything up and runs the checks and the tests.
PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: app test check clean

app: .venv/ready
	$(BIN)/python app.py

test: .venv/ready-dev check
	$(BIN)/python -m pytest -n 2 --dist loadgroup

check: .venv/ready-dev
	$(BIN)/pip check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

.venv/bin/python:
	$$(command -v $(PYTHON) || command -v python3) -m venv .venv

.venv/ready: requirements.txt | .venv/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

.venv/ready-dev: requirements-dev.txt .venv/ready
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

clean:
	rm -rf .venv
