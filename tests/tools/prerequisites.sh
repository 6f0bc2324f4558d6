#!/usr/bin/env bash
# prerequisites.sh [cluster|images|vulkan]…: checks that what a build needs is there, and what the test cluster, the
# images and the software Vulkan device need besides. As root on Debian or Ubuntu it installs what is missing; elsewhere
# it says how.
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
for part in "$@"; do
    case $part in
    cluster)
        has containerd command -v containerd
        has runc command -v runc
        has containernetworking-plugins test -x /usr/lib/cni/bridge
        has nftables command -v nft
        has conntrack command -v conntrack
        has iproute2 command -v ip
        has openssl command -v openssl
        has procps command -v sysctl
        has golang-go command -v go
        ;;
    images)
        if ! docker info >/dev/null 2>&1; then
            has buildah command -v buildah
        fi
        ;;
    vulkan)
        has libvulkan1 python3 -c 'import ctypes; ctypes.CDLL("libvulkan.so.1")'
        has mesa-vulkan-drivers compgen -G '/usr/share/vulkan/icd.d/lvp_icd*.json'
        ;;
    *)
        say "prerequisites.sh knows the parts cluster, images and vulkan, not $part"
        exit 64
        ;;
    esac
done
install_missing() {
    local install=(apt-get install --yes --no-install-recommends "${missing[@]}")
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
}
if ((${#missing[@]} > 0)); then
    install_missing
fi

# Go 1.21 and later fetch the version that a go.mod asks for; older ones only fail on it.
if [[ " $* " == *" cluster "* ]]; then
    go=$(go env GOVERSION)
    if [[ $(printf '%s\n' go1.21 "$go" | sort --version-sort | head -n 1) != go1.21 ]]; then
        say "$go is too old to build Kubernetes: install Go 1.25 or later (https://go.dev/dl) and put it first on the PATH"
        exit 1
    fi
fi
