# The two commands are `make run` and `make test`; `make help` lists the others.

CARGO ?= cargo
LAKE ?= data/lake
DEMO_EVENTS ?= 20000
KILL_ROUNDS ?= 1000
# A campaign's share of each kind of test; a test run has a few seconds of each.
SEEDS ?= 100000
FROM ?= 0
CASES ?= 2000
LAKE_CASES ?= 200
HISTORIES ?= 50
SQL_QUERIES ?= 100000
FUZZ_SECONDS ?= 60
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
# The other engines that read the table in a test live here.
VENV := $(TARGET_DIR)/test-venv
# What `make bench-peers` asks about.
PEER_EVENTS ?= 40_000_000
PEER_SITES ?= 100
PEER_VENV := $(TARGET_DIR)/peers-venv
PEER_LAKE := $(TARGET_DIR)/peers-lake

.PHONY: help run release test test-web test-rust test-dashboard screenshots check tools web ballista campaign simulation fuzz bench bench-peers lists

help: ## List the targets.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

run: ## Build, start all roles on data/lake, send demo traffic, show the report, stay up until Ctrl-C.
	$(CARGO) build --locked -p dewpond
	$(TARGET_DIR)/debug/dewpond up --lake $(LAKE) --demo $(DEMO_EVENTS)

# One of cargo's builds seldom keeps all cores busy, a browser and SDKs wait, and so do the tests of processes: so what can
# run beside something else does.
test: tools ## Run the lints and every test, with a bounded share of the long ones.
	scripts/beside "$(MAKE) --no-print-directory test-web" "$(MAKE) --no-print-directory check" "scripts/nextest --workspace --locked --no-run"
	scripts/beside "$(CARGO) test --workspace --locked --doc" "$(MAKE) --no-print-directory test-rust" "$(MAKE) --no-print-directory test-dashboard"

test-web: ## The tests of the tracker and of the SDKs, and those of the dashboard that need no server.
	cd web && npm run --silent check && npm test --silent
	cd dewpond/tests/sdks && node --test --test-timeout=120000

# After the builds of the Rust tests, which leave the binary there.
test-dashboard: ## The tests of the dashboard, in Chromium, on a server with an invented shop.
	$(CARGO) build --locked -p dewpond
	DEWPOND_TEST_PYTHON=$$(scripts/python-with "$(VENV)") && cd web && \
		DEWPOND_TEST_PYTHON="$$DEWPOND_TEST_PYTHON" DEWPOND_BIN="$(abspath $(TARGET_DIR))/debug/dewpond" npm run --silent test:dashboard

screenshots: ## Pictures of every page of the dashboard in target/screenshots, light and dark, wide and narrow, and the README's.
	$(CARGO) build --locked -p dewpond
	cd web && DEWPOND_BIN="$(abspath $(TARGET_DIR))/debug/dewpond" npm run --silent screenshots "$(abspath $(TARGET_DIR))/screenshots"

test-rust: ## The Rust tests but for those in documentation.
	DEWPOND_TEST_PYTHON=$$(scripts/python-with "$(VENV)") scripts/nextest --workspace --locked

# In a target directory of its own: cargo locks the one that it builds in, and tests are built meanwhile.
check: ## Formatting and lints.
	$(CARGO) fmt --all --check
	scripts/one-build
	scripts/check-manifests "$(VENV)"
	CARGO_TARGET_DIR="$(TARGET_DIR)/lints" $(CARGO) clippy --workspace --all-targets --locked -- -D warnings

tools: ## Install what the tests need, where it is missing and can be installed.
	scripts/install-test-tools "$(VENV)"

web: tools ## Build the tracker, web/dist/tracker.js, and the dashboard, web/dist/dashboard, which the servers have in them.
	cd web && npm run build

campaign: tools simulation ## The long tests: SEEDS of the simulation, kill loops of KILL_ROUNDS rounds, CASES and LAKE_CASES of properties, HISTORIES, SQL_QUERIES beside DuckDB, and make fuzz.
	DEWPOND_KILL_ROUNDS=$(KILL_ROUNDS) $(CARGO) test --locked -p dewpond --test end_to_end -- --nocapture kill
	DEWPOND_KILL_ROUNDS=50 $(CARGO) test --locked -p dewpond --test forwarding -- --nocapture killed
	PROPTEST_CASES=$(CASES) $(CARGO) test --locked --workspace --exclude dewpond --lib --test properties --test mutations
	PROPTEST_CASES=$(LAKE_CASES) $(CARGO) test --locked -p dewpond --test properties
	DEWPOND_TEST_PYTHON=$$(scripts/python-with "$(VENV)") DEWPOND_READER_HISTORIES=$(HISTORIES) \
		$(CARGO) test --locked -p dewpond --test end_to_end -- --nocapture other_engines
	DEWPOND_TEST_PYTHON=$$(scripts/python-with "$(VENV)") DEWPOND_SQL_QUERIES=$(SQL_QUERIES) DEWPOND_SQL_SEED=$(FROM) \
		$(CARGO) test --locked -p engine -p dewpond --test sql -- --nocapture generated
	scripts/fuzz $(FUZZ_SECONDS)

simulation: ## SEEDS runs of the lake under faults, from seed FROM on.
	scripts/simulate $(SEEDS) $(FROM)

fuzz: ## Every reader of bytes from outside under libFuzzer, FUZZ_SECONDS each.
	scripts/fuzz $(FUZZ_SECONDS)

# Ballista needs features of DataFusion's that nobody else does, so it is a workspace of its own and in no other target.
ballista: ## The tests of queries on a Ballista cluster, in a build of their own.
	cd cluster/ballista && $(CARGO) fmt --check
	cd cluster/ballista && CARGO_TARGET_DIR="$(abspath $(TARGET_DIR))" $(CARGO) clippy --all-targets --locked -- -D warnings
	cd cluster/ballista && CARGO_TARGET_DIR="$(abspath $(TARGET_DIR))" $(CARGO) test --locked

release: ## The binary for production, target/release/dewpond.
	$(CARGO) build --release --locked -p dewpond
	scripts/fewer-names "$(TARGET_DIR)/release/dewpond"

bench: ## The measurements of benches/README.md, in a short form.
	$(CARGO) run --release --locked -p benches -- all --short

bench-peers: ## Questions that DuckDB, Polars and chDB are asked about the same files: PEER_EVENTS events, PEER_SITES sites.
	$(CARGO) build --release --locked -p benches
	[ -d "$(PEER_VENV)" ] || { python3 -m venv "$(PEER_VENV)" && "$(PEER_VENV)/bin/pip" -q install -r benches/peers/requirements.txt; }
	rm -rf "$(PEER_LAKE)"
	$(TARGET_DIR)/release/dewpond-bench questions --lake "$(PEER_LAKE)" --make $(PEER_EVENTS) --sites $(PEER_SITES)
	"$(PEER_VENV)/bin/python" benches/peers/engines.py "$(PEER_LAKE)" $(TARGET_DIR)/release/dewpond-bench

lists: ## Make the tables of intake/data that come from packages anew.
	scripts/refresh-lists
