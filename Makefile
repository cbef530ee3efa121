# What a newcomer needs is `make demo` and `make test`; both install what they need first.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
# Under sudo the caches stay the calling user's, and the environment is a clean one.
ROOT = $(if $(SUDO),sudo -E env PATH="$(CURDIR)/.venv/bin:$$PATH",env PATH="$(CURDIR)/.venv/bin:$$PATH")
VENV := .venv/.installed
PACKAGES := systemd-container mmdebstrap debian-archive-keyring iproute2 iptables openssh-client maven python3-venv

.PHONY: help
help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: system
system: # Debian packages that are missing; nothing is asked of apt when none is
	@missing=$$(for package in $(PACKAGES); do \
	  [ "$$(dpkg-query -W -f='$${db:Status-Status}' $$package 2>/dev/null)" = installed ] || echo $$package; done); \
	if [ -n "$$missing" ]; then \
	  echo "installing:" $$missing; $(SUDO) apt-get update -qq; \
	  $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; fi

$(VENV): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; say which with make PYTHON=...") if sys.version_info < (3, 11) else 0'
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

.PHONY: install
install: system $(VENV) ## Install all that labctl and its tests need, into .venv and by apt

.PHONY: demo
demo: install ## Make three hosts, run Hadoop on them, and prove that it works
	mkdir -p demo
	cd demo && $(ROOT) labctl up hadoop
	@echo "Look around with: cd demo && $(SUDO) ../.venv/bin/labctl status; and end it with: $(SUDO) ../.venv/bin/labctl down"

KUBERNETES := kubernetes etcd containerd runc cni-plugins flannel flannel-cni coredns crictl helm pause labweb \
  image-kube-apiserver image-kube-controller-manager image-kube-scheduler image-kube-proxy \
  image-etcd image-coredns image-pause image-flannel image-labweb
BEATS := filebeat metricbeat heartbeat packetbeat
# What Go programs in C are linked with, and Go itself where there is none.
COMPILERS = gcc libc6-dev libseccomp-dev pkg-config $(shell command -v go >/dev/null || echo golang-go)

.PHONY: artifacts
artifacts: PACKAGES += $(COMPILERS) libpcap-dev
artifacts: install ## Build Kubernetes, its parts, Beats and their images from Go modules; goes on where it was
	.venv/bin/labctl artifacts build $(KUBERNETES) $(BEATS)

.PHONY: lint
lint: $(VENV) ## Check style, types, roles and generated documentation
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/yamllint --strict .
	ANSIBLE_COLLECTIONS_PATH=$(CURDIR)/.dev .venv/bin/ansible-lint --offline --profile production roles playbooks
	.venv/bin/python docs/generate.py --check

.PHONY: unit
unit: $(VENV) ## Run the tests that need no host
	.venv/bin/python -m pytest tests/unit

.PHONY: integration
integration: install ## Test providers, modules and packaging on real hosts (root)
	$(ROOT) .venv/bin/python -m pytest tests/integration

# The demo's page is looked at in a browser, and Kubernetes is built where the store does not have it.
e2e test: PACKAGES += chromium $(COMPILERS)
.PHONY: e2e
e2e: install ## Test whole labs: molecule scenarios, then labctl (root)
	.venv/bin/labctl artifacts build $(KUBERNETES)
	for scenario in molecule/*/; do \
	  $(ROOT) MOLECULE_GLOB='molecule/*/molecule.yml' ANSIBLE_COLLECTIONS_PATH=$(CURDIR)/.dev \
	    .venv/bin/molecule test --scenario-name "$$(basename $$scenario)" || exit 1; done
	$(ROOT) .venv/bin/python -m pytest tests/e2e

.PHONY: test
test: install lint unit integration e2e ## Run all of it

.PHONY: test-long
test-long: PACKAGES += $(COMPILERS)
test-long: install ## Test what takes long: clusters killed, scaled, their masters lost (root)
	.venv/bin/labctl artifacts build $(KUBERNETES)
	$(ROOT) .venv/bin/python -m pytest tests/long

.PHONY: bench
bench: install .venv/.bench ## Measure against baselines, and write docs/performance.md (root; BENCH='--only noop --rounds 2')
	$(ROOT) .venv/bin/python -m bench.run $(or $(BENCH),--write docs/performance.md)

.venv/.bench: pyproject.toml $(VENV)
	.venv/bin/pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch $@

.PHONY: docs
docs: $(VENV) ## Write the generated parts of the documentation
	.venv/bin/python docs/generate.py

.PHONY: relock
relock: $(VENV) ## Resolve the jars of the catalogue anew and write their lock files
	PYTHONPATH=.dev .venv/bin/python -m ansible_collections.labctl.stacks.plugins.module_utils.store.relock hadoop

.PHONY: dist
dist: $(VENV) ## Build the wheel and the collection
	.venv/bin/hatchling build -t wheel
	.venv/bin/ansible-galaxy collection build --force --output-path dist
