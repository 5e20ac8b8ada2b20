# Every target does the set-up it needs. Start with `make demo` or `make test`; `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON := .venv/bin/python
NPM := npm --prefix frontend
ARGS ?=
# These start whole stacks and kill or time their parts: they get the machine to themselves, the rest shares it.
LIVE_TESTS := tests/stack tests/docs tests/faults tests/e2e

PYTHON_READY := .venv/.ready
NODE_READY := frontend/node_modules/.ready
FRONTEND_SOURCES := $(shell find frontend/src frontend/public frontend/index.html frontend/*.ts frontend/*.js frontend/*.cjs \
	-type f -not -name '*.test.ts*' 2>/dev/null)
FRONTEND_READY := frontend/dist/index.html
DOCS_SOURCES := mkdocs.yml ARCHITECTURE.md CONTRIBUTING.md $(shell find docs scripts/docs_site coxswain/cli workers/contract \
	controlplane apps -type f \( -path 'docs/*' -o -name '*.py' \) -not -path '*/migrations/*')
DOCS_READY := site/index.html

.PHONY: help setup demo up docs test check check-python check-wiring check-frontend bench soak screenshots lock browser api-types

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

setup: $(PYTHON_READY) $(FRONTEND_READY) $(DOCS_READY) ## Install everything, build the dashboard and the documentation

demo: setup ## Train a small language model end to end and show it live (ARGS=--exit stops afterwards)
	@$(PYTHON) -m coxswain.demo $(ARGS)

up: setup ## Start the embedded stack (ARGS="--port 9000 --detach")
	@.venv/bin/cox up $(ARGS)

docs: $(DOCS_READY) ## Build the documentation, which the stack serves at /docs/

test: setup browser ## Run every test but the soaks (ARGS are passed to pytest)
	@$(NPM) test --silent
ifeq ($(strip $(ARGS)),)
	@$(PYTHON) -m pytest -q -m "not soak" --numprocesses 2 --dist loadfile $(LIVE_TESTS:%=--ignore=%)
	@$(PYTHON) -m pytest -q -m "not soak" $(LIVE_TESTS)
else
	@$(PYTHON) -m pytest -q -m "not soak" $(ARGS)
endif

check: setup check-python check-wiring check-frontend ## Run every static check

check-python: $(PYTHON_READY)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy apps controlplane workers coxswain tests benchmarks scripts
	.venv/bin/lint-imports

check-wiring: $(PYTHON_READY) $(NODE_READY)
	@$(PYTHON) scripts/check_django.py
	@scripts/api-types.sh --check

check-frontend: $(NODE_READY)
	@$(NPM) run --silent lint
	@$(NPM) run --silent typecheck
	@$(NPM) run --silent format:check

api-types: $(PYTHON_READY) $(NODE_READY) ## Generate the front end's types from the OpenAPI schema
	@scripts/api-types.sh

bench: setup ## Measure and write docs/benchmarks.md
	@$(PYTHON) -m benchmarks $(ARGS)

soak: setup browser ## Run the long tests
	@$(PYTHON) -m pytest -q -m soak --timeout 7200 $(ARGS)

screenshots: setup browser ## Take the pictures of the documentation from a running demo
	@$(PYTHON) scripts/screenshots.py $(ARGS)

lock: $(PYTHON_READY) ## Pin the dependencies of pyproject.toml in requirements.lock
	@.venv/bin/pip-compile --quiet --strip-extras --no-emit-index-url --no-emit-trusted-host --no-annotate --no-header \
		--extra server --extra stack --extra worker --extra docs --extra dev --output-file requirements.lock pyproject.toml
	@# redis needs it on Debian 12's Python 3.11.2; the resolver only sees what the running Python needs
	@sed -i '/^attrs==/i async-timeout==5.0.1 ; python_full_version < "3.11.3"' requirements.lock

browser:
	@scripts/setup-browser.sh

$(PYTHON_READY): requirements.lock pyproject.toml scripts/setup-python.sh
	@scripts/setup-python.sh
	@touch $@

$(NODE_READY): frontend/package-lock.json scripts/setup-node.sh
	@scripts/setup-node.sh
	@touch $@

$(FRONTEND_READY): $(NODE_READY) $(FRONTEND_SOURCES)
	@$(NPM) run --silent build -- --logLevel warn
	@touch $@

$(DOCS_READY): $(PYTHON_READY) $(DOCS_SOURCES)
	@NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs build --strict --quiet
