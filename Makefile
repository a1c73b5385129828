# Everything that is done with this repository. `make help` lists it.
# What is missing is installed at the first call; stamps make the second call quick.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run spaces build setup test check e2e sim sim-bwe sim-voices storm rtmp-sync soak attack fuzz bench clean wheel requirements format

VENV := .venv
PY := $(VENV)/bin/python
STAMPS := $(VENV)/.stamps
RUST_SOURCES := $(shell find rust/sfu rust/node rust/python rust/ingest -name '*.rs' -o -name Cargo.toml 2>/dev/null) Cargo.toml Cargo.lock rust-toolchain.toml
WEB_SOURCES := $(shell find js web examples/spaces -type f -not -path '*/node_modules/*' -not -path '*/dist/*' -not -path '*/static/*' -not -path '*/__pycache__/*' -not -name '*.py' 2>/dev/null) package.json package-lock.json

# rustup keeps its toolchains in $$HOME/.rustup. With another HOME they still stand beside the .cargo that holds the cargo on PATH.
ifneq ($(shell cargo --version >/dev/null 2>&1 && echo works),works)
  BESIDE := $(abspath $(dir $(shell command -v cargo 2>/dev/null))../../.rustup)
  ifneq ($(wildcard $(BESIDE)/toolchains),)
    export RUSTUP_HOME := $(BESIDE)
  endif
endif

# Where the system has OpenSSL 3 with its headers, builds take it: its source takes five minutes of a processor. A wheel brings its own.
SYSTEM_OPENSSL := $(shell bash scripts/system-openssl.sh)
$(foreach setting,$(SYSTEM_OPENSSL),$(eval export $(setting)))
openssl_source = perl -MFindBin -MIPC::Cmd -e 1 2>/dev/null || { echo "Rostra needs OpenSSL 3: install $(1)perl with its modules, to build it from source" >&2; exit 1; }

comma := ,
say = @printf '\033[1m== %s\033[0m\n' "$(1)"

help: ## This list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

run: build ## Set up, build, and serve with a page to try it (ARGS="--http 127.0.0.1:9000")
	@exec $(VENV)/bin/rostra dev $(ARGS)

spaces: build ## The example Spaces, with a server of its own (ARGS="--listen 127.0.0.1:9000")
	@PYTHONPATH=examples/spaces exec $(PY) -m spaces $(ARGS)

build: $(STAMPS)/extension $(STAMPS)/web ## Leave .venv/bin/rostra ready

setup: $(STAMPS)/python $(STAMPS)/node $(STAMPS)/system ## Install what is missing

test: build $(STAMPS)/system $(STAMPS)/tools ## All tests, browsers included
	$(call say,Rust tests)
	@cargo test --workspace --quiet
	$(call say,TypeScript tests)
	@npm test --silent
	$(call say,Python and browser tests)
	@$(PY) -m pytest

check: build ## Formatting, lints, types, layers, stubs, no private keys
	$(call say,No private keys)
	@$(PY) scripts/check_keys.py
	$(call say,Rust: rustfmt and clippy)
	@cargo fmt --all --check
	@cargo clippy --workspace --all-targets --quiet -- -D warnings
	$(call say,Python: ruff then mypy then import-linter then stubtest)
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@$(VENV)/bin/lint-imports
	@$(PY) -m mypy.stubtest rostra._media --mypy-config-file pyproject.toml
	$(call say,TypeScript: tsc and biome)
	@npm run check --silent

format: $(STAMPS)/python $(STAMPS)/node ## Format everything
	@cargo fmt --all
	@$(PY) -m ruff check --fix --quiet . || true
	@$(PY) -m ruff format --quiet .
	@npx biome check --write . || true

e2e: build $(STAMPS)/system $(STAMPS)/tools ## Browser tests alone, with the join and switch times printed
	@$(PY) -m pytest -m e2e -s tests/e2e

sim: ## The simulation on 50 seeds (SEEDS=7 or SEEDS=1-200 chooses)
	@cargo run --release --quiet -p rostra-sim --bin sim -- $(or $(SEEDS),1-50)

sim-bwe: ## The scoreboard of bandwidth, ours beside str0m's, into docs/bandwidth.md (SEEDS=1-20)
	@nice cargo run --release --quiet -p rostra-sim --bin bwe -- $(or $(SEEDS),1-20) $(if $(SEEDS),,--write)

storm: build $(STAMPS)/system ## 500 viewers join within a second (virtual time), and Chromium's own time to the first frame
	@cargo test --quiet -p rostra-sim --test storm -- --nocapture | grep 'first STUN'
	@$(PY) -m pytest -q -s -m e2e tests/e2e/test_media.py -k time_to_the_first_frame | sed -n 's/^joins/Chromium, connect() to the first decoded frame/p'

sim-voices: ## A thousand random conversations, judged by who has to be heard (SEEDS=7 or SEEDS=1-1000)
	@nice cargo run --release --quiet -p rostra-sim --bin voices -- talk $(or $(SEEDS),1-1000)

rtmp-sync: build $(STAMPS)/system ## Sound and picture of ffmpeg by RTMP, in the feed and in Chromium, for MINUTES=10
	@RTMP_SECONDS=$$((60 * $(or $(MINUTES),10))) $(PY) -m pytest -q -s tests/ingest/test_sync.py tests/e2e/test_rtmp.py -k "drift or stay_together"

soak: build $(STAMPS)/tools ## 30 minutes of viewers coming and going (MINUTES=30)
	@$(PY) bench/soak.py --minutes $(or $(MINUTES),30)

attack: build $(STAMPS)/tools ## Every attack of strangers beside clients that behave, alone and for MINUTES=5 together (SECONDS_EACH=5)
	@$(PY) -m bench.attack --minutes $(or $(MINUTES),5) --seconds-each $(or $(SECONDS_EACH),5)

fuzz: build ## Every fuzz target for SECONDS_EACH=60 (T=rtp, T=sdp or T=sdpfrag for one)
ifeq ($(filter sdp sdpfrag,$(T)),)
	@SECONDS_EACH=$(or $(SECONDS_EACH),60) bash rust/fuzz/run.sh $(T)
endif
ifeq ($(filter-out sdp sdpfrag,$(T)),)
	@SECONDS_EACH=$(or $(SECONDS_EACH),60) bash tests/fuzz/run.sh $(T)
endif

bench: build $(STAMPS)/tools $(STAMPS)/system ## Published figures: media plane, voices, delay of an encoder (PEER_MEDIAMTX=PATH beside it)
	@bash bench/run.sh

wheel: $(STAMPS)/web $(STAMPS)/python ## The installable wheel, in dist/
	$(call say,Building the wheel)
	@$(call openssl_source)
	@rm -rf dist
	@echo "OpenSSL is built from source into the wheel: five minutes more of a processor, the first time"
	@env -u OPENSSL_NO_VENDOR -u OPENSSL_LIB_DIR -u OPENSSL_INCLUDE_DIR $(VENV)/bin/maturin build --release --strip --auditwheel check --out dist

requirements: ## Resolve and hash the Python requirements anew
	@$(VENV)/bin/uv pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url --no-emit-find-links --group dev pyproject.toml -o requirements.txt

clean: ## Remove what was built
	@rm -rf target rust/fuzz/target $(VENV) node_modules js/node_modules web/node_modules js/dist dist python/rostra/static examples/spaces/spaces/static python/rostra/*.so

$(STAMPS)/python: requirements.txt
	$(call say,Python environment in .venv (the first time takes a minute))
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Rostra needs Python 3.11 or newer as python3" >&2; exit 1; }
	@test -x $(PY) || python3 -m venv $(VENV)
	@$(PY) -m pip install --disable-pip-version-check --require-hashes -r requirements.txt
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/node: package-lock.json | $(STAMPS)/python
	$(call say,Node packages)
	@command -v npm >/dev/null || { echo "Rostra's page is built with Node.js 20 or newer: install node and npm" >&2; exit 1; }
	@npm ci --no-audit --no-fund
	@touch $@

$(STAMPS)/web: $(WEB_SOURCES) $(STAMPS)/node
	$(call say,SDK and page)
	@npm run build --silent
	@touch $@

$(STAMPS)/extension: $(RUST_SOURCES) pyproject.toml $(STAMPS)/python
	$(call say,Media plane (optimised; the first time takes some minutes))
	@cargo --version >/dev/null 2>&1 || { echo "Rostra's media plane is built with Rust: install it with rustup (rust-toolchain.toml names the version)" >&2; exit 1; }
	@test -n "$${OPENSSL_NO_VENDOR:-}" || { $(call openssl_source,libssl-dev and pkg-config$(comma) or ); echo "This system has no OpenSSL 3 with headers: it is built from source, five minutes more of a processor. libssl-dev and pkg-config save them."; }
	@PATH=$(CURDIR)/$(VENV)/bin:$$PATH $(PY) -m pip install --verbose --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(STAMPS)/tools: $(RUST_SOURCES) $(shell find rust/sim rust/load -name '*.rs' -o -name Cargo.toml 2>/dev/null) $(STAMPS)/extension
	$(call say,Test tools: network emulator and load generator)
	@cargo build --release -p rostra-sim -p rostra-load
	@touch $@

$(STAMPS)/system: scripts/system-packages.sh | $(STAMPS)/python
	$(call say,System packages)
	@bash scripts/system-packages.sh
	@touch $@
