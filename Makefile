# `make` lists what there is. `make serve` and `make test` are the two that do everything by themselves.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# The same tools for everybody, whatever else is installed.
BUF_VERSION := 1.75.0
CARGO_DENY_VERSION := 0.20.2
CARGO_CYCLONEDX_VERSION := 0.5.9
CARGO_FUZZ_VERSION := 0.13.2

BUF := npx --yes @bufbuild/buf@$(BUF_VERSION)

# For cargo as a whole, e.g. `make test CARGO_FLAGS=--locked`, and for the server, e.g. `make serve ARGS="--config souk.toml"`.
CARGO_FLAGS ?=
ARGS ?=

CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/souk
# What is fuzzed, where TARGET=… says so; else TARGET is where cargo builds.
FUZZED := $(if $(findstring command,$(origin TARGET)),$(TARGET),all)
override TARGET := $(or $(CARGO_TARGET_DIR),target)
CARGO_CYCLONEDX := $(CACHE)/cargo-cyclonedx-$(CARGO_CYCLONEDX_VERSION)/bin/cargo-cyclonedx
CARGO_DENY := $(CACHE)/cargo-deny-$(CARGO_DENY_VERSION)/bin/cargo-deny
CARGO_FUZZ := $(CACHE)/cargo-fuzz-$(CARGO_FUZZ_VERSION)/bin/cargo-fuzz
TRAINING := models/training

# To cargo a variable that is set to nothing is set, and would hide `.libtorch`.
ifeq ($(LIBTORCH),)
unexport LIBTORCH
endif

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

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

# Whatever builds images here.
ENGINE ?= $(firstword $(foreach engine,docker podman buildah,$(if $(shell command -v $(engine)),$(engine))))
IMAGE ?= souk

.PHONY: image
image: ## Build the image (IMAGE=souk, ENGINE=docker|podman|buildah)
	@test -n "$(ENGINE)" || { echo "missing: docker, podman or buildah" >&2; exit 1; }
	$(ENGINE) build --tag $(IMAGE) --build-arg VERSION=$$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n1) \
		--build-arg REVISION=$$(git rev-parse HEAD) --build-arg CREATED=$$(git log -1 --format=%cI) .

.PHONY: image-check
image-check: ## Run the image locked up, and ask it what the README asks (needs grpcurl; with buildah root)
	python3 deploy/image/check.py --engine "$(ENGINE)" --image $(IMAGE)

.PHONY: sbom
sbom: $(CARGO_CYCLONEDX) ## Write what the program is made of, target/sbom.cdx.json (CycloneDX); the image has its own
	@mkdir -p $(TARGET)
	PATH="$(dir $(CARGO_CYCLONEDX)):$$PATH" python3 deploy/image/sbom.py --out $(TARGET)/sbom.cdx.json

.PHONY: clean
clean: ## Remove what was built here; the caches outside stay
	rm -rf .venv .venv-train .venv-deploy .libtorch
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
	cargo clippy --test attack $(CARGO_FLAGS) -- -D warnings
	cargo clippy --all-targets --no-default-features $(CARGO_FLAGS) -- -D warnings

.PHONY: metrics-table
metrics-table: setup ## Renew the README's table of metrics from the one in the code
	cargo run --quiet $(CARGO_FLAGS) -- schema metrics | sed -i \
		-e '/^<!-- metrics:/,/^<!-- \/metrics/{//!d}' -e '/^<!-- metrics:/r /dev/stdin' README.md

.PHONY: proto-lint
proto-lint: ## Check the protos with buf: names, format, and that they can be published (needs npx)
	@command -v npx >/dev/null || { echo "missing: npx, which comes with Node.js" >&2; exit 1; }
	cd proto && $(BUF) lint
	cd proto && $(BUF) format --diff --exit-code
	cd proto && $(BUF) build
	@# What a push would send, and under which name; a push itself needs an account.
	cd proto && $(BUF) config ls-modules --format name | grep -x 'buf\.build/[a-z0-9-]*/[a-z0-9-]*'
	@diff LICENSE proto/LICENSE

.PHONY: watch-test
watch-test: build ## Check rules, alerts and dashboard with a real Prometheus (needs prometheus and ghz)
	python3 deploy/prometheus/check.py --souk $(TARGET)/release/souk

# Its packages are those of the lock file, and the browser is the system's: nothing is fetched beside them.
.PHONY: test-page
test-page: setup ## Drive the page in headless Chromium (needs npm and chromium), with screenshots in target/page
	@command -v npm >/dev/null || { echo "missing: npm, which comes with Node.js" >&2; exit 1; }
	@command -v chromium chromium-browser google-chrome >/dev/null || { echo "missing: chromium (on Debian: sudo apt-get install -y --no-install-recommends chromium)" >&2; exit 1; }
	cargo build $(CARGO_FLAGS)
	cd tests/page && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	cd tests/page && SOUK_PROGRAM=$(abspath $(TARGET))/debug/souk npx --no-install playwright test $(ARGS)
# Against a build of the tests' kind, or against SOUK=program.
SOUK ?=

.PHONY: test-clients
test-clients: setup venv-deploy ## Run the example clients against real servers (needs Go, Node.js and Python)
	$(if $(SOUK),,cargo build $(CARGO_FLAGS))
	BUF="$(BUF)" .venv-deploy/bin/python deploy/clients/check.py --souk $(or $(SOUK),$(TARGET)/debug/souk) $(ARGS)

.PHONY: deploy-test
deploy-test: venv-deploy ## Check what is deployed to Kubernetes and KServe against their schemas (needs Go)
	@mkdir -p $(CACHE)
	.venv-deploy/bin/python deploy/kubernetes/check.py --cache $(CACHE)

.PHONY: venv-deploy
venv-deploy:
	@deploy/setup/venv.sh .venv-deploy deploy/clients/python/requirements.txt deploy/clients/requirements-test.txt deploy/kubernetes/requirements.txt

PROMETHEUS_RULE := deploy/kubernetes/components/monitoring/prometheusrule.yaml

.PHONY: prometheus-rule
prometheus-rule: ## Wrap deploy/prometheus/rules.yml for the Prometheus operator
	@sed '/^spec:$$/q' $(PROMETHEUS_RULE) > $(PROMETHEUS_RULE).new
	@sed 's/^\(.\)/  \1/' deploy/prometheus/rules.yml >> $(PROMETHEUS_RULE).new
	@mv $(PROMETHEUS_RULE).new $(PROMETHEUS_RULE)

.PHONY: deny
deny: $(CARGO_DENY) ## Check the licences and sources of all dependencies
	$(CARGO_DENY) --config .deny.toml check --hide-inclusion-graph bans licenses sources

# Compiled by themselves and lightly: they run for a second. Their target folder is not ours.
$(CARGO_DENY): VERSION = $(CARGO_DENY_VERSION)
$(CARGO_CYCLONEDX): VERSION = $(CARGO_CYCLONEDX_VERSION)
$(CARGO_FUZZ): VERSION = $(CARGO_FUZZ_VERSION)
$(CARGO_DENY) $(CARGO_CYCLONEDX) $(CARGO_FUZZ):
	@echo "$(@F): compiling $(VERSION) into $(CACHE), once per user (some minutes)"
	env -u CARGO_TARGET_DIR CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=off \
		cargo install --quiet --locked --version $(VERSION) --root $(dir $(@D)) $(@F)

## Attack

# In full as it is shipped; the short form as the tests are built, which is at hand where they ran.
ATTACK := cargo test $(if $(findstring --short,$(ARGS)),,--release) $(CARGO_FLAGS) --test attack --

.PHONY: attack
attack: setup ## Chaos and hostile clients while honest ones check every answer (ARGS=--short: a minute)
	@failed=0; for part in chaos attack; do $(ATTACK) $$part $(ARGS) || failed=1; done; exit $$failed

.PHONY: soak
soak: setup ## Swaps, bursts and cancellations for half an hour; does memory grow? (ARGS="--minutes 5")
	$(ATTACK) soak $(ARGS)

# One of those that `make fuzz` lists, or all of them, and how long for each.
TARGET_NAMES := $(shell sed -n 's/^name = "\(.*\)"/\1/p' tests/fuzz/Cargo.toml | grep -v souk-fuzz)
SECONDS_EACH := $(or $(SECONDS),60)
FUZZ := $(abspath $(TARGET))/fuzz

# With libFuzzer and stable Rust: coverage without a sanitizer, since nothing here is unsafe. What was found
# is in tests/fuzz/artifacts/TARGET; the corpus stays in target/fuzz-corpus.
.PHONY: fuzz
fuzz: $(CARGO_FUZZ) ## Fuzz what reads others' bytes (TARGET=manifest or all, SECONDS=60)
	@[[ " all $(TARGET_NAMES) " == *" $(FUZZED) "* ]] || { echo "TARGET=$(FUZZED): wanted all or one of $(TARGET_NAMES)" >&2; exit 1; }
	@cp Cargo.lock tests/fuzz/Cargo.lock
	@failed=0; for target in $(if $(filter all,$(FUZZED)),$(TARGET_NAMES),$(FUZZED)); do \
		mkdir -p $(FUZZ)-corpus/$$target; \
		log=$(FUZZ)-corpus/$$target.log; \
		PATH=$(dir $(CARGO_FUZZ)):$$PATH cargo fuzz run --fuzz-dir tests/fuzz --sanitizer none --target-dir $(FUZZ) $$target $(FUZZ)-corpus/$$target \
			-- -max_total_time=$(SECONDS_EACH) -rss_limit_mb=2048 -timeout=10 -print_final_stats=1 >$$log 2>&1 \
			&& awk -v target=$$target '/stat::number_of_executed_units/ { print target ": " $$2 " executions, no finding" }' $$log \
			|| { failed=1; grep -a -m1 -A1 -E 'panicked at|^error' $$log | cut -c1-400 >&2; \
				echo "$$target: failed or found something, see $$log" >&2; }; \
	done; exit $$failed

.PHONY: fuzz-short
fuzz-short: setup ## The same targets on changes of their seeds, some seconds, with stable Rust alone
	cargo test $(CARGO_FLAGS) --lib -- --nocapture fuzzing::

## Measure

# How the reference model's features travel: as two lists, or each for itself (extra).
REFERENCE_FEATURES ?= lists
# Version 1 is TorchScript, which is what libtorch is measured with alone; version 2 has the same weights for Souk's own engine.
REFERENCE := $(abspath $(TARGET))/bench/reference/$(REFERENCE_FEATURES)
# The same network as a model of tensors, by its hidden layers.
TENSORS := $(abspath $(TARGET))/bench/tensors
TENSORS_MODELS := $(foreach hidden,128-64 400-400-400,$(TENSORS)/$(hidden)/deepfm/1/manifest.json)
SCENARIO ?= open
ADDR ?= localhost:50051

.PHONY: bench
bench: setup $(REFERENCE)/merchant_gmv/2/manifest.json $(TENSORS_MODELS) ## Measure encoder, stack, forward pass, engines, loading and server into benches/results (ARGS=--quick: minutes)
	cargo bench $(CARGO_FLAGS) --bench encode --bench batch --bench forward
	cargo bench $(CARGO_FLAGS) --bench engines -- $(REFERENCE)/merchant_gmv
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
$(REFERENCE)/merchant_gmv/2/manifest.json: | venv-train
	$(PYTHON_TRAIN) reference --engine both --features $(REFERENCE_FEATURES) --out $(REFERENCE)

$(TENSORS)/%/deepfm/1/manifest.json: | venv-train
	$(PYTHON_TRAIN) reference --features tensors --hidden $* --out $(TENSORS)/$*

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
