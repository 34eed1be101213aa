# `make` lists the targets. Each makes what it needs: a .venv here, jars in .local, nothing global.
SHELL := bash
.SHELLFLAGS := -o pipefail -ec
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
# auto, native or compose
RUNTIME ?= auto
ARGS ?=
# Number of test processes; each starts its own Kafka and ClickHouse. 0: one process, with all output.
WORKERS ?= 4
# What `make tools` builds with Go, once, for the tests. TOOLS= skips it.
TOOLS ?= pulumi docker-compose fakes3 otelcol victoria-logs

VENV := .venv
BIN := $(VENV)/bin
NATIVE := PYTHONPATH=compose $(BIN)/python -m native
EXPLORER := tests/tools/explorer
CHECKED := $(wildcard service/logbrook compose/native compose/grafana infra tests bench)

##@ The local stack

.PHONY: local-up local-down local-status local-logs local-reset local-sql doctor produce audit backup restore
local-up: $(VENV)/.native ## Start everything, with Docker or without (RUNTIME=auto|native|compose); safe to repeat
	@RUNTIME=$(RUNTIME) $(NATIVE) up

local-down: $(VENV)/.native ## Stop it; the data stays
	@$(NATIVE) down

local-status: $(VENV)/.native ## Show each process; fails if one is not working
	@$(NATIVE) status

local-logs: $(VENV)/.native ## Show what the processes print (NAME=kafka for one, FOLLOW=1 to keep printing)
	@$(NATIVE) logs $(NAME) $(if $(FOLLOW),--follow)

local-reset: $(VENV)/.native ## Stop it and delete its data and passwords, after asking (YES=1 does not ask)
	@$(NATIVE) reset $(if $(YES),--yes)

local-sql: $(VENV)/.native ## Run a statement in its database: make local-sql SQL='SELECT count() FROM otel_logs'
	@$(NATIVE) sql $(if $(SQL),"$$SQL",'SELECT ServiceName, SeverityText, count() FROM otel_logs GROUP BY ALL ORDER BY ALL')
local-sql: export SQL := $(SQL)

doctor: $(VENV)/.native ## Say what is wrong with it, where, and what to change: docs/doctor.md (ARGS='--json')
	@$(BIN)/logbrook doctor $(ARGS)

produce: $(VENV)/.native ## Send sample logs or files into it: make produce ARGS='--count 100000 --to gateway'
	@$(NATIVE) run produce $(ARGS)

audit: $(VENV)/.native ## Compare Kafka with ClickHouse: fails if an event is missing or duplicated (ARGS='--json')
	@$(NATIVE) run audit $(ARGS)

backup: $(VENV)/.native ## Copy the events into ClickHouse's backup folder, or a bucket (NAME= names the backup)
	@$(NATIVE) run backup $(NAME)

restore: $(VENV)/.native ## Restore a backup, NAME=..., and store what came after it from Kafka
	@$(NATIVE) run restore $(or $(NAME),$(error NAME= is missing: the backup's name, which `make backup` printed))
	@$(NATIVE) run replay

##@ Checks

.PHONY: test e2e-test jars tools walls-mutants recipes-mutants lint lint-explorer format audit-deps
test: $(VENV)/.tests jars tools ## Every test that does not need Docker, on real Kafka, ZooKeeper and ClickHouse (WORKERS=4, ARGS for pytest)
	$(BIN)/pytest -m "not docker" -n $(WORKERS) --no-loadscope-reorder $(ARGS)

e2e-test: $(VENV)/.tests ## The end-to-end cases on the whole stack, in containers or without (RUNTIME=auto|native|compose)
	RUNTIME=$(RUNTIME) $(BIN)/pytest tests/e2e $(ARGS)

walls-mutants: $(VENV)/.tests ## Remove the guards of docs/security.md, one at a time: a test must fail for each
	PYTHONPATH=compose $(BIN)/python -m tests.query.mutants

recipes-mutants: $(VENV)/.tests ## Send with each recipe of docs/sources and a wrong address, token, or form: its test must fail
	RECIPES_MUTANTS=1 RUNTIME=native $(BIN)/pytest tests/e2e/test_recipes.py $(ARGS)

jars: $(VENV)/.native
	@$(NATIVE) fetch

tools: ## Build the programs that tests drive, with Go, unless they are there; install axe-core with npm
	@$(if $(TOOLS),$(PYTHON) tests/tools/build.py $(TOOLS))
	@if [ -n "$(TOOLS)" ] && command -v npm > /dev/null; then $(MAKE) $(EXPLORER)/node_modules/.package-lock.json \
	    || echo "axe-core: not installed, its tests are skipped"; fi

lint: $(VENV)/.tests docs-site ## ruff, mypy --strict, spelling and wording, zizmor, hadolint, the docs' links; JavaScript with npm, actionlint with Go
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(CHECKED)
	$(BIN)/python tests/wording.py
	git ls-files -z | xargs -0 $(BIN)/codespell
	$(BIN)/zizmor --offline --quiet .github
	# The distribution keeps no old versions to pin: those of the day come with the base image's digest.
	$(BIN)/hadolint --ignore DL3008 service/Dockerfile
	@if command -v npm > /dev/null; then $(MAKE) lint-explorer; else echo "the explorer's JavaScript: not checked without npm"; fi
	@if actionlint=$$($(PYTHON) tests/tools/build.py --path actionlint); then echo actionlint && "$$actionlint"; \
	    else echo "the GitHub workflows: not checked by actionlint"; fi

lint-explorer: $(EXPLORER)/node_modules/.package-lock.json ## Biome and the TypeScript compiler on the explorer's JavaScript
	$(EXPLORER)/node_modules/.bin/biome check --error-on-warnings --config-path $(EXPLORER) service/logbrook/query/explorer/*.js
	$(EXPLORER)/node_modules/.bin/tsc --project $(EXPLORER)

$(EXPLORER)/node_modules/.package-lock.json: $(EXPLORER)/package-lock.json
	@npm ci --prefix $(EXPLORER) --ignore-scripts --no-audit --no-fund --loglevel error
	@touch $@

format: $(VENV)/.tests ## Format the code, and fix what ruff can fix
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .
	@if command -v npm > /dev/null; then $(MAKE) -s $(EXPLORER)/node_modules/.package-lock.json \
	    && $(EXPLORER)/node_modules/.bin/biome check --write --config-path $(EXPLORER) service/logbrook/query/explorer/*.js; fi

audit-deps: $(VENV)/.tests ## Check the pinned packages for known vulnerabilities (ARGS=--strict fails if that can't be done)
	@$(BIN)/python tests/audit_deps.py $(ARGS)

##@ Measurements

.PHONY: bench bench-freshness bench-growth bench-peers bench-quick bench-query bench-hostile bench-gateway bench-memory bench-collector
bench: $(VENV)/.tests ## How fast events become queryable, next to a naive consumer and the engine alone (ARGS)
	PYTHONPATH=service:compose:. $(BIN)/python -m bench.pipeline $(ARGS)

bench-freshness: $(VENV)/.tests ## How soon an acknowledged event is found, at several rates (ARGS)
	PYTHONPATH=service:compose:. $(BIN)/python -m bench.freshness $(ARGS)

bench-growth: $(VENV)/.tests ## How 1, 2, and 4 consumers get through what is waiting, up to 10 million events (ARGS)
	PYTHONPATH=service:compose:. $(BIN)/python -m bench.growth $(ARGS)

bench-peers: TOOLS = victoria-logs
bench-peers: $(VENV)/.tests tools ## What storing and searching take, next to VictoriaLogs (ARGS='--rows 20000000')
	PYTHONPATH=service:compose:. $(BIN)/python -m bench.peers $(ARGS)

bench-quick: override ARGS += --rows 100000 --events 100000 --rounds 5
bench-quick: bench-peers ## The same with 100,000 events, in less than three minutes, as a smoke test

bench-query: $(VENV)/.tests ## How fast searches are on 20 million events, quiet and under ingest (ARGS='--rows 50000000')
	PYTHONPATH=service:compose:. $(BIN)/python -m bench.query $(ARGS)

bench-hostile: $(VENV)/.tests ## What 500 hostile statements do to searches and inserts (ARGS='--statements 100')
	PYTHONPATH=service:compose:. $(BIN)/python -m bench.hostile $(ARGS)

bench-gateway: $(VENV)/.tests ## How much the gateway accepts, next to a naive one (ARGS)
	PYTHONPATH=service:compose:. $(BIN)/python -m bench.gateway $(ARGS)

bench-memory: $(VENV)/.tests ## How much memory the gateway takes for the worst bodies that its limits let in (ARGS)
	PYTHONPATH=service:compose:. $(BIN)/python -m tests.gateway.worst_bodies $(ARGS)

bench-collector: TOOLS = otelcol
bench-collector: export OPTIMIZED = 1
bench-collector: $(VENV)/.tests tools ## What the Collector's processors cost (ARGS='--seconds 9')
	PYTHONPATH=service:compose:. $(BIN)/python -m bench.collector $(ARGS)

include infra/Makefile.inc tests/faults/Makefile.inc

##@ Upkeep

.PHONY: docs docs-site pictures dashboards lock clean help
docs: $(VENV)/.native $(VENV)/.infra ## Write the reference pages that are generated from the code
	$(BIN)/python -m logbrook.reference docs
	$(BIN)/python -m infra.capacity_page

docs-site: $(VENV)/.docs ## Build the documentation as a site, in .local/site; a link or an anchor that leads nowhere fails
	NO_MKDOCS_2_WARNING=1 docs/site.sh .local/site $(BIN)/mkdocs

pictures: $(VENV)/.tests $(VENV)/.docs ## Take the documentation's pictures of the explorer of the local stack, which has some events
	PYTHONPATH=service:compose:. $(BIN)/python -m tests.browser.pictures docs/pictures $(ARGS)

dashboards: $(VENV)/.tests ## Write Grafana's dashboards and their page, generated from compose/grafana
	PYTHONPATH=compose $(BIN)/python -m grafana compose/grafana/dashboards docs/dashboards.md

lock: $(VENV)/.tests ## Pin every requirements.in again, with hashes (UPGRADE=1 takes new versions)
	@$(call pin,tests,)
	@$(call pin,service,-c $(CURDIR)/tests/requirements.txt)
	@$(call pin,service/with-mcp,-c $(CURDIR)/tests/requirements.txt)
	@$(call pin,compose/native,-c $(CURDIR)/tests/requirements.txt)
	@$(call pin,infra,-c $(CURDIR)/tests/requirements.txt)
	@$(call pin,docs,-c $(CURDIR)/tests/requirements.txt)

clean: ## Delete what can be recreated: .venv, caches, jars. The local stack's data stays
	rm -rf $(VENV) .local/jars .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## This list
	@awk 'BEGIN {FS = ":.*## "} /^##@ / {printf "\n%s\n", substr($$0, 5)} \
	    /^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Layers of .venv: what the local stack needs, and on top of it what tests and lint need.
pin = echo "$(1)/requirements.txt" && cd $(1) && $(CURDIR)/$(BIN)/uv pip compile -q --no-annotate --no-header \
    --generate-hashes --universal --python-version 3.11 $(if $(UPGRADE),--upgrade) $(2) requirements.in -o requirements.txt
# Shows the current package on one line of a terminal, otherwise nothing. Of 11,000 modules most are never loaded, so each is
# compiled when it is.
unexport PYTHONDONTWRITEBYTECODE
install = $(BIN)/pip install --disable-pip-version-check --no-input --no-compile --require-hashes -r $(1) \
    | if [ -t 1 ]; then awk '/^Collecting/ {printf "\r\033[K  %d %s", ++n, $$2; fflush()} END {printf "\r\033[K"}'; else cat > /dev/null; fi

$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version). Set PYTHON=..."; exit 1; }
	@echo "Making $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.native: compose/native/requirements.txt service/pyproject.toml | $(VENV)/bin/pip
	@echo "Installing what the local stack needs into $(VENV) (about a minute the first time)"
	@$(call install,compose/native/requirements.txt)
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e service
	@touch $@

$(VENV)/.docs: docs/requirements.txt | $(VENV)/bin/pip
	@$(call install,docs/requirements.txt)
	@touch $@

$(VENV)/.tests: tests/requirements.txt $(VENV)/.native
	@echo "Installing what tests and lint need into $(VENV) (about a minute the first time)"
	@$(call install,tests/requirements.txt)
	@touch $@
