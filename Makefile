# "make help" lists what there is.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup demo test lint sanity units docs package molecule bench bench-site bench-load bench-switchover bench-compare bench-failover drill drill-site lab-up lab-down clean

export PATH := $(CURDIR)/.venv/bin:$(PATH)
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
export TANDEM_LAB ?= demo
export TANDEM_LAB_NET ?= 77

LAB := python3 tests/lab/lab.py
PLAY := ansible-playbook -i inventories/lab
TEST := .venv/bin/python tests/ci/run.py
VIP := 10.$(TANDEM_LAB_NET).10.100

help: ## This list
	@awk -F ':.*## ' '/^[a-z -]+:.*## / {printf "make %-32s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Install what is needed (Debian packages, .venv); quick when it is there
	@tests/ci/setup.sh

demo: setup ## A pair with WordPress on this machine; a second run reuses it
	@$(LAB) up
	$(PLAY) site.yml
	$(PLAY) playbooks/demo_post.yml
	@$(PLAY) playbooks/status.yml
	@echo
	@echo "The site: http://$(VIP)/"
	@echo "Break it: python3 tests/lab/lab.py fault kill server1     (start server1 brings it back)"
	@echo "Look:     .venv/bin/ansible-playbook playbooks/status.yml"
	@echo "End:      make clean"

test: setup ## Everything: lint, sanity, units, docs, package, molecule. FAST=1: the inner loop, no nodes
	@$(TEST) $(if $(FAST),--fast)

lint sanity units docs package: setup ## One stage of make test
	@$(TEST) $@

molecule: setup ## On real nodes. TEST_SCENARIOS="bookworm trixie mysql runbooks runbooks-mysql agent atlas"
	@$(TEST) $(or $(TEST_SCENARIOS),bookworm trixie mysql runbooks runbooks-mysql agent atlas)

bench: setup ## First and second site.yml, and takeover times seen by the client. RUNS=5
	@python3 bench/bench.py --runs $(or $(RUNS),5)

bench-site: setup ## The load's own site and application on the lab pair
	@$(LAB) up
	$(PLAY) -i bench/inventory site.yml bench/deploy.yml

bench-load: setup ## 100 requests/s and 20 SQL writers for 30 s
	@python3 bench/load.py --name $(TANDEM_LAB) --net $(TANDEM_LAB_NET) --seconds 30

bench-switchover: setup ## Switchovers of that pair under that load. RUNS=20
	@python3 bench/switchover.py --name $(TANDEM_LAB) --net $(TANDEM_LAB_NET) --runs $(or $(RUNS),20)

bench-compare: setup ## The table: ours on both engines, a script of the same steps by hand, MHA. RUNS=20
	@python3 bench/compare.py --runs $(or $(RUNS),20)

bench-failover: setup ## The table of failovers: our agent, and Pacemaker with Debian's MariaDB resource agent. RUNS=5
	@python3 bench/failover_compare.py --runs $(or $(RUNS),5)

drill-site: setup ## A lab pair that looks after itself (tandem_failover: automatic)
	@$(LAB) up
	TANDEM_LAB_FAILOVER=automatic $(PLAY) site.yml

drill: setup ## Break that pair at random, and prove that nothing acknowledged is lost. RUNS=20 SEED=text FAULTS=name,name
	@python3 tests/drills/random_drill.py --runs $(or $(RUNS),20) $(if $(SEED),--seed $(SEED)) $(if $(FAULTS),--faults $(FAULTS))

lab-up: setup ## Start the nodes of lab TANDEM_LAB
	@$(LAB) up

lab-down: ## Remove the nodes of lab TANDEM_LAB
	@$(LAB) down

clean: ## Remove everything made here: nodes, networks, volumes, images, environments, caches
	@if command -v podman >/dev/null; then $(LAB) clean; fi
	rm -rf .venv .ansible .cache .lab .mypy_cache .ruff_cache .pytest_cache .hypothesis tests/output
	rm -f tandem-lemp-*.tar.gz changelogs/.plugin-cache.yaml
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@echo "Packages that make setup installed stay installed."
