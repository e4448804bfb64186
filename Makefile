# Two commands do all of their own set-up: make demo, make test. `make help` lists the rest, from the
# comments behind the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --disable-pip-version-check --progress-bar on
# What the service needs, and what is needed to work on it. Both are pinned by requirements/.
RUNTIME := $(VENV)/.runtime
READY := $(VENV)/.ready
SITE := $(VENV)/.site
FUZZING := $(VENV)/.fuzzing

.PHONY: help demo demo-fleet test test-unit coverage check lint prose types imports format docs bench bench-memory bench-keys bench-hostile-memory bench-kafka
.PHONY: bench-drift bench-poison bench-detectors bench-series bench-skab chaos parity soak fuzz schema lock audit wheel deb test-deb image clean

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

$(SITE): $(RUNTIME) requirements/docs.txt
	$(PIP) --quiet --require-hashes --requirement requirements/docs.txt
	@touch $@

$(FUZZING): $(READY) requirements/fuzz.txt
	$(PIP) --quiet --no-deps --require-hashes --requirement requirements/fuzz.txt
	@touch $@

help: ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

demo: $(RUNTIME) ## a first look, on a simulated fleet with known faults
	$(BIN)/detectd demo

demo-fleet: $(RUNTIME) ## two minutes: 500 hosts, six kinds of faults, a restart; with and without history
	$(BIN)/python -m benchmarks.fleet

test: $(READY) ## every test there is
	$(BIN)/pytest

test-unit: $(READY) ## the unit tests but for the slow ones: no Java, no network, a minute
	$(BIN)/pytest tests/unit -m "not slow" --hypothesis-profile=quick

coverage: $(READY) ## what the tests of test-unit run of the code, with a floor
	$(BIN)/coverage run -m pytest tests/unit -n 0 -m "not slow" --hypothesis-profile=quick
	$(BIN)/coverage report

lint: $(READY) prose ## format, code rules and prose
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

prose: $(READY) ## spelling, and the project's own words
	$(BIN)/codespell
	$(BIN)/python packaging/prose.py *.md docs dashboards detectd

types: $(READY) ## strict types
	$(BIN)/mypy

imports: $(READY) ## what may import what
	$(BIN)/lint-imports

check: lint types imports test ## exactly what CI runs, but for the site

# In strict mode: a link that leads nowhere is an error. The builder's own notice is about its next
# major version, which the lock file rules out; the pages are plain Markdown for any builder.
docs: $(SITE) ## the documentation, into build/site
	$(BIN)/python packaging/site_pages.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	$(BIN)/python packaging/site_pages.py --check

bench: $(READY) ## minutes: ratios against PyOD, River, PySAD and a pass-through; ONLY=group
	$(BIN)/python -m benchmarks $(if $(ONLY),--only $(ONLY))

bench-memory: $(READY) ## minutes: memory after ten million events
	$(BIN)/python -m benchmarks --only memory

bench-keys: $(READY) ## minutes: memory of 100,000 keys with eight features
	$(BIN)/python -m benchmarks --only keys

bench-hostile-memory: $(READY) ## minutes: peak memory with the worst records of each kind
	$(BIN)/python -m benchmarks.hostile_memory

bench-kafka: $(READY) ## between Kafka topics, against passing records through
	$(BIN)/python -m benchmarks.kafka

soak: $(READY) ## an hour under load: does anything grow? MINUTES=1
	$(BIN)/python -m benchmarks.soak $(if $(MINUTES),--minutes $(MINUTES))

bench-detectors: $(READY) ## three minutes: which detector finds what; DATA=directory of ADBench
	$(BIN)/python -m benchmarks.detectors $(DATA)

bench-series: $(READY) ## ten minutes: what is found in series over time; DATA=directory of NAB, PEERS=1
	$(BIN)/python -m benchmarks.series $(DATA) $(if $(PEERS),--peers)

bench-skab: $(READY) ## minutes: faults and changes seen by several sensors; DATA=directory of SKAB
	$(BIN)/python -m benchmarks.skab $(DATA)

bench-drift: $(READY) ## half an hour: how soon a change is seen, beside River's detectors
	$(BIN)/python -m benchmarks.delays

bench-poison: $(READY) ## minutes: how much of an attack it takes until a model calls it normal
	$(BIN)/python -m benchmarks.poison

chaos: $(READY) ## minutes: processes and brokers killed and frozen; SEED=3 CLIENT=confluent
	$(BIN)/python -m tests.chaos.campaign $(if $(SEED),--seed $(SEED)) $(if $(CLIENT),--client $(CLIENT))

parity: $(READY) ## minutes: every kernel against PyOD; DATA=directory of ADBench
	$(BIN)/python -m tests.parity.campaign $(if $(DATA),--data $(DATA))

fuzz: $(FUZZING) ## a minute, from bytes to outputs under coverage-guided fuzzing; SECONDS=3600 SEED=2
	$(BIN)/python -m tests.fuzz.campaign --seconds $(or $(SECONDS),60) --seed $(or $(SEED),1)

schema: $(READY) ## config/schema.json, from the settings and reference.toml
	$(BIN)/python packaging/schema.py > config/schema.json

lock: build/tools/.ready ## pin the dependencies with hashes; UPGRADE=1 takes the newest
	UV=build/tools/bin/uv UPGRADE=$(UPGRADE) packaging/lock

audit: build/tools/.ready ## is a vulnerability known in anything that is pinned?
	failed=0; for pinned in requirements/*.txt; do \
	  build/tools/bin/pip-audit --disable-pip --require-hashes --requirement "$$pinned" || failed=1; \
	done; exit $$failed

build/tools/.ready: requirements/tools.txt
	$(PYTHON) -m venv build/tools
	build/tools/bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement $<
	@touch $@

wheel: $(READY) ## a wheel, into dist/
	$(BIN)/python -m build --wheel --no-isolation

deb: ## the Debian package, for the Debian that this runs on
	packaging/deb

image: ## a container image; BASE=docker.io/library/debian@sha256:...
	podman build --format docker --tag detectd $(if $(BASE),--build-arg BASE=$(BASE)) .

test-deb: deb ## minutes, as root: the package in a clean Debian
	packaging/test-deb dist/detectd_*.deb

format: $(READY) ## format the code and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## remove .venv, build and dist
	rm -rf $(VENV) build dist
