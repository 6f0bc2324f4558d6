#!/usr/bin/env bash
# What `make test-vulkan` tests, on the NVIDIA GPU of this machine (its driver and the CUDA toolkit are installed).
source "$(dirname "${BASH_SOURCE[0]}")/prelude.sh"

bash "$tools/prerequisites.sh"
step "Tests on the GPU (the build takes about 9 minutes on 2 cores)" \
    cargo test --release --locked -p medtrain-trainer --features cuda --test cuda
