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

# virtual_environment NAME REQUIREMENTS: a kept Python environment with these packages; prints its interpreter.
virtual_environment() {
    local directory
    directory=$(kept "$1" "$2" make_environment "$2") && printf '%s\n' "$directory/bin/python"
}
make_environment() {
    say "Preparing the Python packages of ${1#"$root"/} (a download of some GB)"
    python3 -m venv "$2" || {
        say "python3 can't make virtual environments: install python3-venv (Debian's name)"
        return 1
    }
    pip_of "$2/bin/python" install --requirement "$1"
}
