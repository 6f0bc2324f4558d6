#!/usr/bin/env bash
# `make lint`: all that can be said about the code without running it. Goes through every check, then fails if one did.
source "$(dirname "${BASH_SOURCE[0]}")/prelude.sh"

# One crate at a time: see build_medtrain. `*`: test programs that need a cluster are not among --all-targets. What GPUs
# need is compiled nowhere else in CI; it takes no GPU, no driver and no CUDA toolkit.
clippy() {
    cargo clippy --quiet --release --locked -p medtrain-crds --all-targets -- -D warnings &&
        cargo clippy --quiet --release --locked -p medtrain-trainer --all-targets --test '*' -- -D warnings &&
        cargo clippy --quiet --release --locked -p medtrain-trainer --features cuda,wgpu --lib --bins \
            --test vulkan --test cuda -- -D warnings &&
        cargo clippy --quiet --release --locked -p medtrain-crds --features k8s --all-targets -- -D warnings &&
        cargo clippy --quiet --release --locked -p medtrain-operator --all-targets --test '*' -- -D warnings &&
        cargo clippy --quiet --release --locked -p medtrain-e2e --lib --test '*' -- -D warnings &&
        cargo clippy --quiet --release --locked -p medtrain-scale --lib --test '*' -- -D warnings
}

documentation() {
    RUSTDOCFLAGS='-D warnings' cargo doc --quiet --release --locked --workspace --no-deps
}

# The pinned wheel has shellcheck's binary for Linux on x86-64; on other machines it has to be on the PATH.
shell_scripts() {
    local version=0.11.0.1 shellcheck=shellcheck
    if [[ $(uname -sm) == "Linux x86_64" ]]; then
        local installed=$cache/tools/shellcheck-$version
        shellcheck=$installed/bin/shellcheck
        if [[ ! -x $shellcheck ]]; then
            pinned_pip install --requirement "$tools/requirements-lint.txt" --target "$installed" || return
        fi
    fi
    "$shellcheck" --external-sources --source-path SCRIPTDIR "$tools"/*.sh tests/{bench,chart,chart/cluster,chart/live,cluster,e2e,parity,scale}/*.sh images/*.sh .ci/run
}

failed=()
check() {
    step "$@" || failed+=("$1")
}
check "Format" cargo fmt --all --check
check "Dependency trees" bash "$tools/check-tree.sh"
check "Licences, duplicates, sources" bash "$tools/cargo-deny.sh" check licenses bans sources
check "Shell scripts" shell_scripts
check "Clippy" clippy
check "Documentation" documentation

if ((${#failed[@]} > 0)); then
    list=$(printf ', %s' "${failed[@]}")
    say "lint failed: ${list:2}"
    exit 1
fi
