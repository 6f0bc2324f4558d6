#!/usr/bin/env bash
# `make bench`: medtrain beside transformers + peft on this machine. Arguments go to bench.py, such as
#   bash tests/bench/run.sh --rounds 9 --rows lora-1x2048-dropout0.05
# BENCH_PYTHON=…/bin/python takes that interpreter, which has the packages of requirements.txt, instead of making one.
# shellcheck source=../tools/prelude.sh
source "$(dirname "${BASH_SOURCE[0]}")/../tools/prelude.sh"
bench=$root/tests/bench

# peer_python: makes the peer's virtual environment where it is missing and sets `python` to its interpreter.
# One environment a requirements.txt; it counts once its marker is there, so an interrupted one is made anew.
peer_python() {
    local digest venv
    digest=$(sha256sum "$bench/requirements.txt") && digest=${digest:0:12}
    venv=$cache/bench-venv/$digest
    python=$venv/bin/python
    if [[ ! -e $venv/complete ]]; then
        rm -rf "$cache/bench-venv"
        mkdir -p "$cache/bench-venv"
        python3 -m venv "$venv" || {
            say "python3 can't make virtual environments: install python3-venv (Debian's name), or set BENCH_PYTHON"
            return 1
        }
        PIP_ROOT_USER_ACTION=ignore "$python" -m pip install --quiet --disable-pip-version-check --no-cache-dir \
            --requirement "$bench/requirements.txt" >&2 || return
        touch "$venv/complete"
    fi
}

bash "$tools/prerequisites.sh"
step "Building medtrain (the first time: about 9 minutes on 2 cores)" build_medtrain
step "Building the benchmark's step" cargo build --release --locked -p medtrain-trainer --example bench_step
model=$(bash "$tools/model.sh" "$medtrain")
python=${BENCH_PYTHON:-}
if [[ -z $python ]]; then
    step "Preparing transformers + peft (the first time: a download of about 3 GB)" peer_python
fi

target=$(target_dir)
PYTHONDONTWRITEBYTECODE=1 "$python" "$bench/bench.py" --ours "$target/release/examples/bench_step" --model "$model" \
    --output "$target/bench.json" "$@"
