# Every target sets itself up from nothing and is quick the second time. ARGS go to the program: make demo ARGS=--exit

python := .venv/bin/python
scripts := scripts/bootstrap scripts/lock scripts/mutants .ci/run

# A proxy is for the outside: what runs here talks to itself over loopback, and must not ask a proxy for that.
comma := ,
ifneq ($(NO_PROXY)$(no_proxy),*)
export NO_PROXY := $(addsuffix $(comma),$(or $(NO_PROXY),$(no_proxy)))localhost,127.0.0.1,::1
export no_proxy := $(NO_PROXY)
endif
unexport PYTHONHOME PYTHONPATH VIRTUAL_ENV
# Else each of the processes that tests, demo and simulation start would compile the whole package for itself.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test simulate planted mutants check lint types contracts format bench soak lock protos clean run-env dev-env

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

demo: run-env ## Tell the whole story against a simulated org and two storefronts; ARGS=--exit ends after it
	@.venv/bin/sfsync demo $(ARGS)

test: dev-env ## Run the tests; ARGS go to pytest (ARGS="-k reservation -x")
	@$(python) -m pytest $(ARGS)

check: lint types contracts test ## Check everything: lint, format, types, import contracts, tests

lint: dev-env ## Check style and format: Python with ruff, scripts with shellcheck, the Dockerfile with hadolint
	@$(python) -m ruff check .
	@$(python) -m ruff format --check .
	@if [ -x .venv/bin/shellcheck ] || [ -n "$$SFSYNC_REQUIRE" ]; then .venv/bin/shellcheck $(scripts); \
	else echo "No shellcheck is published for this machine: the scripts are not checked."; fi
	@.venv/bin/hadolint Dockerfile

simulate: dev-env ## Live days in a simulated world and check every promise: SEEDS=500; SEED=7 tells the story of one
	@$(python) -m tests.simulation $(if $(SEED),--seed $(SEED)) $(if $(SEEDS),--seeds $(SEEDS)) $(ARGS)

planted: dev-env ## Plant a bug for each promise in a copy, and count the seeds until the simulation notices
	@$(python) -m tests.simulation.planted $(ARGS)

mutants: dev-env ## Change the deciding modules in one place at a time, and list what no test notices
	@nice -n 10 bash scripts/mutants $(ARGS)

types: dev-env ## Check types with mypy, strictly
	@$(python) -m mypy $(wildcard src tests scripts bench)

contracts: dev-env ## Check that imports run one way (the contracts stand in pyproject.toml)
	@.venv/bin/lint-imports --no-logo

format: dev-env ## Put the code into shape: sort imports, format, mend what can be mended safely
	@$(python) -m ruff check --fix-only --quiet .
	@$(python) -m ruff format .

bench: dev-env ## Measure sfsync beside a glue script: latency, a burst, memory, losses when killed
	@$(python) -m bench $(ARGS)

MINUTES := 10
soak: dev-env ## Kill sfsync over and over in a busy house, then compare all: make soak MINUTES=10 ARGS="--seed 7"
	@$(python) -m tests.soak --minutes $(MINUTES) $(ARGS)

lock: dev-env ## Write the lock files from pyproject.toml; ARGS=--upgrade takes the newest versions
	@sh scripts/lock $(ARGS)

protos: dev-env ## Write the gRPC stubs from the .proto files
	@$(python) scripts/protos.py

clean: ## Remove what was made here: environment, caches, local state
	@rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	@find . -name __pycache__ -prune -exec rm -rf {} +

run-env:
	@sh scripts/bootstrap run

dev-env:
	@sh scripts/bootstrap dev
