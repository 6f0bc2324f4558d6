# Sourced by the scripts beside it: strict mode, where things lie, how a script talks.
# shellcheck shell=bash
# shellcheck disable=SC2034 # variables are for the scripts that source this

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"
tools=$root/tests/tools
# What is large or slow to make and the same for every clone.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/medtrain

# say TEXT: one line for the person who waits. Never on stdout: that is for results.
say() {
    printf '==> %s\n' "$*" >&2
}

# step TITLE COMMAND…: says what happens now and, afterwards, how long it took.
# A function as COMMAND must return its own failures: bash ignores `set -e` inside it.
step() {
    local title=$1 begin=$SECONDS status=0
    shift
    say "$title"
    "$@" || status=$?
    local seconds=$((SECONDS - begin))
    if ((status == 0)); then
        say "$title: done in $((seconds / 60)) min $((seconds % 60)) s"
    else
        say "$title: failed after $((seconds / 60)) min $((seconds % 60)) s (exit code $status)"
    fi
    return "$status"
}

# Where cargo puts what it builds: ./target, CARGO_TARGET_DIR or a configuration file.
target_dir() {
    cargo metadata --format-version 1 --no-deps --locked |
        python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])'
}

# build_medtrain: builds the program that is shipped and sets `medtrain` to its path.
# By -p, never the whole workspace: cargo would merge the features that the other crates ask for into it.
build_medtrain() {
    local target
    cargo build --release --locked -p medtrain-trainer && target=$(target_dir) || return
    medtrain=$target/release/medtrain
}

# vulkan_marker: path of the file that says that the dependencies of the feature `wgpu` are built, with this compiler and
# this Cargo.lock, in the target directory.
vulkan_marker() {
    local lock target
    lock=$(sha256sum Cargo.lock) && target=$(target_dir) || return
    printf '%s/release/vulkan-%s-%s\n' "$target" "$(rustc --version | cut -d' ' -f2)" "${lock:0:12}"
}

# test_program PACKAGE TARGET: builds one of a package's test programs and prints its path.
test_program() {
    cargo test --quiet --release --locked -p "$1" --test "$2" --no-run --message-format json |
        python3 -c 'import json, sys
for line in sys.stdin:
    made = json.loads(line)
    if made.get("executable") and "test" in made["target"]["kind"]:
        print(made["executable"])'
}

# pinned_pip download|install ARGUMENTS…: pip that takes only wheels whose sha256 the requirements file names. For
# fetching and unpacking (--dest, --target); nothing is put among the packages of the system or the user.
pinned_pip() {
    PIP_ROOT_USER_ACTION=ignore python3 -m pip "$1" --quiet --disable-pip-version-check --no-cache-dir --no-deps \
        --only-binary :all: --require-hashes "${@:2}" >&2
}

# virtual_environment NAME REQUIREMENTS: makes a Python environment with these packages where it is missing, and prints
# the path of its interpreter. One a NAME: another requirements file replaces it. It counts once its marker is there, so
# an interrupted one is made anew.
virtual_environment() {
    local digest venv=$cache/venv/$1
    digest=$(sha256sum "$2") && digest=${digest:0:12} || return
    if [[ ! -e $venv/$digest ]]; then
        say "Preparing Python packages of ${2#"$root"/} (a download of some GB)"
        rm -rf "$venv"
        mkdir -p "$cache/venv"
        python3 -m venv "$venv" || {
            say "python3 can't make virtual environments: install python3-venv (Debian's name)"
            return 1
        }
        PIP_ROOT_USER_ACTION=ignore "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-cache-dir \
            --requirement "$2" >&2 || return
        touch "$venv/$digest"
    fi
    printf '%s\n' "$venv/bin/python"
}
