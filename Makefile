# hostwatch: `make` alone prints help.
PYTHON ?= python3
SHELL := /bin/sh
.DEFAULT_GOAL := help
.SUFFIXES:

VENV := .venv/bin/python
RUN_STAMP := .venv/run.stamp
DEV_STAMP := .venv/dev.stamp
SCRIPTS := stack/apt.sh stack/debian13.sh stack/debian_mirror.sh stack/venv.sh stack/soak.sh .ci/run tests/support/systemd_image.sh \
  tests/support/python_image.sh tests/support/debian_image.sh compose/vault.sh compose/healthy.sh
# what tests run beside Python's packages
TEST_PACKAGES := prometheus prometheus-alertmanager prometheus-node-exporter stress-ng fuse3 iproute2 iputils-ping e2fsprogs wrk dbus-daemon openssl \
  docker.io busybox-static mmdebstrap prometheus-blackbox-exporter chromium fonts-dejavu-core prometheus-process-exporter \
  openssh-client
# and what they compare with, or use, as the next release has it
NEXT_RELEASE_PACKAGES := prometheus-node-exporter prometheus promtool prometheus-alertmanager docker-compose docker-buildx
UV := .venv/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate

# a name on the command line wins over these: make up PROMETHEUS_PORT=9190
export EXPORTER_PORT RELAY_PORT PROMETHEUS_PORT ALERTMANAGER_PORT GRAFANA_PORT HOSTWATCH_STATE STACK

.PHONY: help
help: ## this text
	@echo 'hostwatch: make TARGET'
	@echo
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1#\2/p' $(MAKEFILE_LIST) | while IFS='#' read -r name text; do \
		printf '%-9s %s\n' "$$name" "$$text"; done
	@echo
	@echo '  PYTHON=python3                  which Python makes .venv: 3.11, 3.12 or 3.13'
	@echo '  STACK=native                    without Docker, though an engine answers; STACK=docker: only with it'
	@echo '  EXPORTER_PORT=10101  RELAY_PORT=10102  PROMETHEUS_PORT=9090  ALERTMANAGER_PORT=9093  GRAFANA_PORT=3000'

.PHONY: up
up: $(RUN_STAMP) ## all parts, wired together, until Ctrl-C: with Docker where an engine answers, else without
	@exec $(VENV) -m stack up

.PHONY: down
down: ## stop what `make up` runs, from another terminal
	@if [ -x $(VENV) ]; then exec $(VENV) -m stack down; else echo 'No stack runs: there is no .venv.'; fi

.PHONY: logs
logs: $(RUN_STAMP) ## what the parts of `make up` say, until Ctrl-C
	@exec $(VENV) -m stack logs

.PHONY: test
test: $(DEV_STAMP) test-packages ## every test, with the real parts, and coverage
	@exec $(VENV) -m pytest --hypothesis-profile=thorough --cov=exporter --cov-report=term --cov-fail-under=90 tests prometheus/tests

.PHONY: soak
soak: $(DEV_STAMP) test-packages ## every test with full counts; the result goes to docs/proof/
	@exec bash stack/soak.sh docs/proof/soak.txt

.PHONY: check
check: $(DEV_STAMP) ## lint, types and the fast tests, in under a minute
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/shellcheck -x $(SCRIPTS)
	@.venv/bin/yamllint --strict .
	@exec $(VENV) -m pytest -q -n logical -m 'not slow' --hypothesis-profile=fast

.PHONY: bench
bench: $(DEV_STAMP) bench-packages ## side by side with node_exporter; the result goes to docs/proof/
	@exec $(VENV) -m bench

.PHONY: venv
venv: $(DEV_STAMP) ## .venv from the lock files with hashes, development packages included
	@:

.PHONY: golden
golden: $(DEV_STAMP) ## write golden files and generated documents anew: review the difference
	@$(VENV) -m pytest -q tests/golden tests/unit --rewrite-golden
	@$(VENV) -m grafana
	@exec $(VENV) -m tests.support.catalogue

.PHONY: lock
lock: $(DEV_STAMP) ## resolve requirements/*.txt anew
	@$(UV) --extra relay --extra fleet pyproject.toml requirements/build.in -o requirements/run.txt
	@$(UV) --extra dev -c requirements/run.txt pyproject.toml requirements/build.in -o requirements/dev.txt

.PHONY: dist
dist: $(RUN_STAMP) ## source archive and wheel in dist/
	@exec $(VENV) -m hatchling build

.PHONY: clean
clean: ## remove what was built, .venv and the state of `make up`
	@if [ -x $(VENV) ]; then $(VENV) -m stack down; fi
	@rm -rf .venv .local dist .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

$(RUN_STAMP): requirements/run.txt pyproject.toml stack/venv.sh
	@sh stack/venv.sh $(PYTHON) run
	@touch $@

$(DEV_STAMP): requirements/dev.txt pyproject.toml stack/venv.sh
	@sh stack/venv.sh $(PYTHON) dev
	@touch $@ $(RUN_STAMP)

# where they cannot be installed the tests that need them say so, one by one
.PHONY: test-packages bench-packages
test-packages:
	@sh stack/apt.sh $(TEST_PACKAGES) || [ $$? -eq 3 ]
	@sh stack/debian13.sh .local/debian13 $(NEXT_RELEASE_PACKAGES) || [ $$? -eq 3 ]
	@sh tests/support/systemd_image.sh .local/machines bookworm trixie || [ $$? -eq 3 ]
	@sh tests/support/python_image.sh .local/machines || [ $$? -eq 3 ]

bench-packages:
	@sh stack/apt.sh prometheus-node-exporter prometheus-process-exporter prometheus-blackbox-exporter
