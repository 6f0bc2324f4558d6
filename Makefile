# Everything a person runs, one command a target; what takes more lines is a script in tests/tools/.
# Big things (model, tools) lie outside the clone, in $XDG_CACHE_HOME/medtrain or ~/.cache/medtrain.

SHELL := bash
.DEFAULT_GOAL := help
.PHONY: help demo test test-vulkan bench bench-memory parity lint audit crds chart chart-test clean-demo images images-cuda e2e e2e-kind scale cluster-up cluster-down

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## train a small medical assistant through all four stages (first time: about half an hour on 2 cores)
	@bash tests/tools/demo.sh

test: ## all tests, then lint; what CI runs
	@bash tests/tools/test.sh

test-vulkan: ## what GPUs run against the CPU, on a software Vulkan device (first time: about 12 minutes on 2 cores)
	@bash tests/tools/test-vulkan.sh

bench: ## speed and memory beside the reference implementations
	@bash tests/bench/run.sh

bench-memory: ## most RAM of training steps beside what `medtrain plan` says (about 5 minutes on 2 cores)
	@bash tests/bench/memory.sh

parity: ## all comparisons with transformers, peft and trl made anew, as one table (`bash tests/parity/run.sh --seed 7`)
	@bash tests/parity/run.sh

images: ## the trainer's and the operator's container images, as OCI archives with SBOM
	@bash images/build.sh

images-cuda: ## the trainer's image for NVIDIA GPUs, and a look at it that needs none (about 15 minutes on 2 cores)
	@archive=$$(bash images/build.sh trainer-cuda) && echo "$$archive" && cd images && CUDA_ARCHIVE=$$archive python3 -B -m unittest test_cuda

e2e: ## tests on a real Kubernetes: one of our own (needs root on Linux) or the one that KUBECONFIG names
	@bash tests/e2e/run.sh

e2e-kind: ## those of them that need no machine of our own, on a kind cluster (needs a Docker engine and kind)
	@bash tests/e2e/kind.sh

scale: ## 1,000 trainings at once on a real control plane with fake nodes; prints what it took
	@bash tests/scale/run.sh 1000

CLUSTER ?= dev
cluster-up: ## start a one-node Kubernetes without Docker (CLUSTER=dev); tests/cluster/README.md tells more
	@bash tests/cluster/up.sh $(CLUSTER)

cluster-down: ## end it and remove all that it left
	@bash tests/cluster/down.sh $(CLUSTER)

lint: ## format, clippy, documentation, licences, dependency trees, shell scripts
	@bash tests/tools/lint.sh

audit: ## look for published advisories about our dependencies (asks the network)
	@bash tests/tools/audit.sh

crds: ## regenerate crds/generated/ from the types, and the chart's copy
	cargo run --release -p medtrain-crds --example crds
	@bash tests/chart/update.sh

chart: ## bring the chart up to date: the generated definition, the table of values in its README
	@bash tests/chart/update.sh

chart-test: ## the chart's tests that need no cluster
	@bash tests/chart/run.sh

clean-demo: ## remove what `make demo` trained; the model stays in the cache
	rm -rf outputs/demo
