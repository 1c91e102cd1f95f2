# `make` lists what there is. `make serve` and `make test` are the two that do everything by themselves.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# The same tools for everybody, whatever else is installed.
BUF_VERSION := 1.75.0
CARGO_DENY_VERSION := 0.20.2

# For cargo as a whole, e.g. `make test CARGO_FLAGS=--locked`, and for the server, e.g. `make serve ARGS="--config souk.toml"`.
CARGO_FLAGS ?=
ARGS ?=

CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/souk
TARGET := $(or $(CARGO_TARGET_DIR),target)
CARGO_DENY := $(CACHE)/cargo-deny-$(CARGO_DENY_VERSION)/bin/cargo-deny
TRAINING := models/training

# To cargo a variable that is set to nothing is set, and would hide `.libtorch`.
ifeq ($(LIBTORCH),)
unexport LIBTORCH
endif

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

## Build and run

.PHONY: setup
setup: $(TARGET)/prerequisites ## Check the prerequisites; fetch libtorch into the user's cache, once
	@python3 deploy/libtorch/fetch.py

# Checked once: a second `make serve` must not wait for it.
$(TARGET)/prerequisites: deploy/setup/check.sh
	@deploy/setup/check.sh
	@mkdir -p $(@D) && touch $@

.PHONY: build
build: setup ## Build the server, target/release/souk
	cargo build --release $(CARGO_FLAGS)

.PHONY: serve
serve: build ## Set up, build and run the server (ARGS="--config souk.toml")
	@exec $(TARGET)/release/souk serve $(ARGS)

.PHONY: clean
clean: ## Remove what was built here; the caches outside stay
	rm -rf .venv .venv-train .libtorch
	cargo clean
	@echo "kept: $(CACHE) (libtorch and tools, shared by all clones)"

## Check

# The training package's tests come first: they take seconds. cargo builds its test profile
# alone; the tests that start the server start that build of it.
.PHONY: test
test: setup venv ## Set up and run every test, Rust and Python
	PYTHONPATH=$(TRAINING) .venv/bin/python -m pytest -q $(TRAINING)
	SOUK_PYTHON=$(CURDIR)/.venv/bin/python cargo test --no-fail-fast $(CARGO_FLAGS)

# Enough to encode rows as training does, without torch, and to ask the server as other programs' clients do.
.PHONY: venv
venv:
	@deploy/setup/venv.sh .venv $(TRAINING)/requirements.txt tests/clients/requirements.txt

.PHONY: lint
lint: setup ## Check formatting, and clippy with and without libtorch
	cargo fmt --check
	cargo clippy --all-targets $(CARGO_FLAGS) -- -D warnings
	cargo clippy --all-targets --no-default-features $(CARGO_FLAGS) -- -D warnings

.PHONY: metrics-table
metrics-table: setup ## Renew the README's table of metrics from the one in the code
	cargo run --quiet $(CARGO_FLAGS) -- schema metrics | sed -i \
		-e '/^<!-- metrics:/,/^<!-- \/metrics/{//!d}' -e '/^<!-- metrics:/r /dev/stdin' README.md

.PHONY: proto-lint
proto-lint: ## Check the protos with buf (needs npx)
	@command -v npx >/dev/null || { echo "missing: npx, which comes with Node.js" >&2; exit 1; }
	cd proto && npx --yes @bufbuild/buf@$(BUF_VERSION) lint

.PHONY: watch-test
watch-test: build ## Check rules, alerts and dashboard with a real Prometheus (needs prometheus and ghz)
	python3 deploy/prometheus/check.py --souk $(TARGET)/release/souk

.PHONY: deny
deny: $(CARGO_DENY) ## Check the licences and sources of all dependencies
	$(CARGO_DENY) --config .deny.toml check --hide-inclusion-graph bans licenses sources

# Compiled by itself and lightly: it runs for a second. Its target folder is not ours.
$(CARGO_DENY):
	@echo "cargo-deny: compiling $(CARGO_DENY_VERSION) into $(CACHE), once per user (some minutes)"
	env -u CARGO_TARGET_DIR CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=off \
		cargo install --quiet --locked --version $(CARGO_DENY_VERSION) --root $(dir $(@D)) cargo-deny

## Measure

# How the reference model's features travel: as two lists, or each for itself (extra).
REFERENCE_FEATURES ?= lists
REFERENCE := $(abspath $(TARGET))/bench/reference-$(REFERENCE_FEATURES)
ENGINES := $(abspath $(TARGET))/bench/engines
# The same network as a model of tensors, by its hidden layers.
TENSORS := $(abspath $(TARGET))/bench/tensors
TENSORS_MODELS := $(foreach hidden,128-64 400-400-400,$(TENSORS)/$(hidden)/deepfm/1/manifest.json)
SCENARIO ?= open
ADDR ?= localhost:50051

.PHONY: bench
bench: setup $(REFERENCE)/merchant_gmv/1/manifest.json $(ENGINES)/merchant_gmv/2/manifest.json $(TENSORS_MODELS) ## Measure encoder, stack, forward pass, engines, loading and server into benches/results (ARGS=--quick: minutes)
	cargo bench $(CARGO_FLAGS) --bench encode --bench batch --bench forward
	cargo bench $(CARGO_FLAGS) --bench engines -- $(ENGINES)/merchant_gmv
	cargo bench $(CARGO_FLAGS) --bench loading -- $(REFERENCE)/merchant_gmv/1
	cargo bench $(CARGO_FLAGS) --bench serving -- --reference $(REFERENCE) --tensors $(TENSORS) --out benches/results $(ARGS)

.PHONY: compare
compare: build data venv-train ## Train, serve and measure every model family into models/FAMILIES.md from SOUK_DATA=folder
	$(PYTHON_TRAIN) compare --data $(SOUK_DATA) --out $(TARGET)/compare --souk $(TARGET)/release/souk

.PHONY: load
load: ## Send load to a running server with ghz (SCENARIO=closed|open|mixed|deadline, ADDR=host:port)
	@command -v ghz >/dev/null || { echo "missing: ghz (go install github.com/bojand/ghz/cmd/ghz@latest, or a release from https://ghz.sh)" >&2; exit 1; }
	@test -e benches/ghz/$(SCENARIO).json || { echo "SCENARIO=$(SCENARIO): wanted one of $(basename $(notdir $(wildcard benches/ghz/*.json)))" >&2; exit 1; }
	ghz --config benches/ghz/$(SCENARIO).json $(ARGS) $(ADDR)

# Random weights: made once from the training package, without data.
$(REFERENCE)/merchant_gmv/1/manifest.json: | venv-train
	$(PYTHON_TRAIN) reference --features $(REFERENCE_FEATURES) --out $(REFERENCE)

$(TENSORS)/%/deepfm/1/manifest.json: | venv-train
	$(PYTHON_TRAIN) reference --features tensors --hidden $* --out $(TENSORS)/$*

$(ENGINES)/merchant_gmv/2/manifest.json: | venv-train
	$(PYTHON_TRAIN) reference --engine both --features lists --out $(ENGINES)

## Train

LAYOUTS := target/layouts
PYTHON_TRAIN := PYTHONPATH=$(TRAINING) .venv-train/bin/python -m souk_training
# Versions never change: a training run adds the next number.
next = models/$(1)/$$(( $$(ls models/$(1) 2>/dev/null | grep -xE '[0-9]+' | sort -n | tail -n1) + 1 ))

.PHONY: train
train: $(LAYOUTS)/koubei/dataset.json $(LAYOUTS)/complete-journey/dataset.json ## Train the next version of both models from SOUK_DATA=folder
	$(PYTHON_TRAIN) train merchant-gmv --layout $(LAYOUTS)/koubei --out $(call next,merchant_gmv)
	$(PYTHON_TRAIN) train user-portrait --layout $(LAYOUTS)/complete-journey --out $(call next,user_portrait)

$(LAYOUTS)/%/dataset.json: $(TRAINING)/souk_training/layout.py | data venv-train
	$(PYTHON_TRAIN) adapt $* --data $(SOUK_DATA)/$(subst -,_,$*) --out $(@D)

.PHONY: data
data:
	@test -d "$${SOUK_DATA:-}" || { echo "SOUK_DATA must name the folder with the data sets: see $(TRAINING)/README.md" >&2; exit 1; }

.PHONY: venv-train
venv-train:
	@deploy/setup/venv.sh .venv-train $(TRAINING)/requirements-train.txt
