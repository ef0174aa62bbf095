# The two commands: `make run` and `make test`. Everything else is listed by `make help`.

CARGO ?= cargo
DEMO_EVENTS ?= 20000
LAKE ?= data/lake

.PHONY: help run test test-tools check fmt campaign bench readers

help: ## Show the targets.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

run: ## Build, start all roles on data/lake, send demo traffic, show the report, stay up.
	$(CARGO) build --release -p dewpond
	"$$($(CARGO) metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/release/dewpond" \
		up --lake $(LAKE) --demo $(DEMO_EVENTS)

test: test-tools check ## Run every test, a bounded share of the long ones among them.
	$(CARGO) nextest run --workspace --locked 2>/dev/null --no-run || true
	if $(CARGO) nextest --version >/dev/null 2>&1; then \
		$(CARGO) nextest run --workspace --locked; \
	else \
		$(CARGO) test --workspace --locked; \
	fi
	$(CARGO) test --workspace --locked --doc

check: ## Formatting and lints.
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
