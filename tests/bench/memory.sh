#!/usr/bin/env bash
# `make bench-memory`: most RAM of training steps beside their forecast. Arguments go to memory.py, such as
#   bash tests/bench/memory.sh --rows lora-1x4096-dropout0
# shellcheck source=../tools/prelude.sh
source "$(dirname "${BASH_SOURCE[0]}")/../tools/prelude.sh"

bash "$tools/prerequisites.sh"
step "Building medtrain (the first time: about 9 minutes on 2 cores)" build_medtrain
step "Building the benchmark's program" cargo build --release --locked -p medtrain-trainer --example bench_step
model=$(bash "$tools/model.sh" "$medtrain")
PYTHONDONTWRITEBYTECODE=1 python3 "$root/tests/bench/memory.py" \
    --step "$(target_dir)/release/examples/bench_step" --model "$model" "$@"
