# Two commands do all of their own set-up: make demo, make test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --disable-pip-version-check --progress-bar on
# What the service needs, and what is needed to work on it. Both are pinned by requirements/.
RUNTIME := $(VENV)/.runtime
READY := $(VENV)/.ready
FUZZING := $(VENV)/.fuzzing

.PHONY: demo test check lint types imports format bench bench-memory bench-hostile-memory bench-kafka bench-drift bench-poison bench-detectors chaos parity soak fuzz
.PHONY: schema lock audit wheel deb test-deb image clean

$(RUNTIME): pyproject.toml requirements/runtime.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "detectd needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@echo "Installing the libraries that detectd needs into $(VENV) ..."
	$(PIP) --require-hashes --requirement requirements/runtime.txt
	$(PIP) --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(READY): $(RUNTIME) requirements/dev.txt
	@echo "Installing the tools that tests and benchmarks need into $(VENV) ..."
	$(PIP) --quiet --require-hashes --requirement requirements/dev.txt
	@touch $@

$(FUZZING): $(READY) requirements/fuzz.txt
	$(PIP) --quiet --no-deps --require-hashes --requirement requirements/fuzz.txt
	@touch $@

demo: $(RUNTIME)
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

# Minutes: ratios against PyOD, River, PySAD and a pass-through, each in turns with ours. ONLY=group.
bench: $(READY)
	$(BIN)/python -m benchmarks $(if $(ONLY),--only $(ONLY))

# Minutes more: the service's memory after ten million events.
bench-memory: $(READY)
	$(BIN)/python -m benchmarks --only memory

# Minutes: its peak memory with the worst records of each kind, as in benchmarks/memory.md.
bench-hostile-memory: $(READY)
	$(BIN)/python -m benchmarks.hostile_memory

# The service between Kafka topics, against passing the records through.
bench-kafka: $(READY)
	$(BIN)/python -m benchmarks.kafka

# An hour under load with reloads, refits and scrapes: does anything grow? MINUTES=1 is a short form.
soak: $(READY)
	$(BIN)/python -m benchmarks.soak $(if $(MINUTES),--minutes $(MINUTES))

# Which detector finds what, without labels. Three minutes; DATA=directory of ADBench.
bench-detectors: $(READY)
	$(BIN)/python -m benchmarks.detectors $(DATA)

# How soon a change is seen, against River's detectors at the same rate of false alarms. Half an hour.
bench-drift: $(READY)
	$(BIN)/python -m benchmarks.delays

# How much of an attack it takes until a model calls it normal, for each setting. Minutes.
bench-poison: $(READY)
	$(BIN)/python -m benchmarks.poison

# Minutes: processes and brokers killed, frozen and restarted; each record answered once.
chaos: $(READY)
	PYTHONPATH=tests:tests/kafka $(BIN)/python -m chaos.campaign $(if $(SEED),--seed $(SEED)) $(if $(CLIENT),--client $(CLIENT))

# Minutes: every kernel against PyOD, on rows that are measured (DATA=directory of ADBench) or drawn.
parity: $(READY)
	PYTHONPATH=tests $(BIN)/python -m parity.campaign $(if $(DATA),--data $(DATA))

# A minute, or SECONDS=3600: the path from bytes to outputs under coverage-guided fuzzing. SEED=2.
fuzz: $(FUZZING)
	PYTHONPATH=tests $(BIN)/python -m fuzz.campaign --seconds $(or $(SECONDS),60) --seed $(or $(SEED),1)

# For editors: config/schema.json from the settings and from what reference.toml says of each key.
schema: $(READY)
	$(BIN)/python packaging/schema.py > config/schema.json

# After a change to the dependencies in pyproject.toml: pin them again, with hashes. UPGRADE=1 takes
# the newest versions.
lock: build/tools/.ready
	UV=build/tools/bin/uv UPGRADE=$(UPGRADE) packaging/lock

# Is a vulnerability known in anything that is pinned?
audit: build/tools/.ready
	failed=0; for pinned in requirements/*.txt; do \
	  build/tools/bin/pip-audit --disable-pip --require-hashes --requirement "$$pinned" || failed=1; \
	done; exit $$failed

build/tools/.ready: requirements/tools.txt
	$(PYTHON) -m venv build/tools
	build/tools/bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement $<
	@touch $@

wheel: $(READY)
	$(BIN)/python -m build --wheel --no-isolation

# The Debian package, for the Debian that this runs on.
deb:
	packaging/deb

# A container image. BASE=docker.io/library/debian@sha256:... builds it on one base alone.
image:
	podman build --format docker --tag detectd $(if $(BASE),--build-arg BASE=$(BASE)) .

# Minutes, as root: installed, upgraded, removed and purged in a clean Debian, and run by its systemd.
test-deb: deb
	packaging/test-deb dist/detectd_*.deb

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build dist
