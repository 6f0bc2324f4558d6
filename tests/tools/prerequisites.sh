#!/usr/bin/env bash
# Checks that what a build needs is there. As root on Debian or Ubuntu it installs what is missing; elsewhere it says how.
source "$(dirname "${BASH_SOURCE[0]}")/prelude.sh"

if ! command -v cargo >/dev/null; then
    say "cargo is missing: install Rust with rustup (https://rustup.rs); it takes the version in rust-toolchain.toml by itself"
    exit 1
fi

missing=()
has() {
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || missing+=("$package")
}
has gcc command -v cc
has g++ command -v c++
has cmake command -v cmake
has python3 command -v python3
has python3-pip python3 -m pip --version
if ((${#missing[@]} == 0)); then
    exit 0
fi

install=(apt-get install --yes --no-install-recommends "${missing[@]}")
if ! command -v apt-get >/dev/null; then
    say "missing: ${missing[*]} (names of Debian's packages): install them and run this again"
    exit 1
elif [[ $(id -u) != 0 ]]; then
    say "missing: ${missing[*]}: run this, then try again: sudo apt-get update && sudo ${install[*]}"
    exit 1
fi
say "Installing ${missing[*]} (about a minute)"
export DEBIAN_FRONTEND=noninteractive
apt-get update --quiet >&2
"${install[@]}" >&2
