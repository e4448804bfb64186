# Two commands do all of their own set-up: make demo, make test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test check lint types imports format bench bench-kafka chaos parity clean

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "detectd needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev,bench]'
	@touch $@

demo: $(READY)
	$(BIN)/detectd demo

test: $(READY)
	$(BIN)/pytest

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(READY)
	$(BIN)/mypy

imports: $(READY)
	$(BIN)/lint-imports

# Exactly what CI runs.
check: lint types imports test

# Ratios against PyOD, measured in one process.
bench: $(READY)
	$(BIN)/python -m benchmarks

# The service between Kafka topics, against passing the records through.
bench-kafka: $(READY)
	$(BIN)/python -m benchmarks.kafka

# Minutes: processes and brokers killed, frozen and restarted; each record answered once.
chaos: $(READY)
	PYTHONPATH=tests:tests/kafka $(BIN)/python -m chaos.campaign $(if $(SEED),--seed $(SEED)) $(if $(CLIENT),--client $(CLIENT))

# Minutes: every kernel against PyOD, on rows that are measured (DATA=directory of ADBench) or drawn.
parity: $(READY)
	PYTHONPATH=tests $(BIN)/python -m parity.campaign $(if $(DATA),--data $(DATA))

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build dist
