# Everything a person runs, one command a target; what takes more lines is a script in tests/tools/.
# Big things (model, tools) lie outside the clone, in $XDG_CACHE_HOME/medtrain or ~/.cache/medtrain.

SHELL := bash
.DEFAULT_GOAL := help
.PHONY: help demo test bench lint audit reference chart chart-test clean-demo

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## train a small medical assistant through all four stages (first time: about half an hour on 2 cores)
	@bash tests/tools/demo.sh

test: ## all tests, then lint; what CI runs
	@bash tests/tools/test.sh

bench: ## speed and memory beside the reference implementations
	@bash tests/bench/run.sh

lint: ## format, clippy, documentation, licences, dependency trees, shell scripts
	@bash tests/tools/lint.sh

audit: ## look for published advisories about our dependencies (asks the network)
	@bash tests/tools/audit.sh

reference: ## regenerate crds/generated/ from the types
	cargo run --release -p medtrain-crds --example reference

chart: ## bring the chart up to date: the generated definition, the table of values in its README
	@bash tests/chart/update.sh

chart-test: ## the chart's tests that need no cluster
	@bash tests/chart/run.sh

clean-demo: ## remove what `make demo` trained; the model stays in the cache
	rm -rf outputs/demo
