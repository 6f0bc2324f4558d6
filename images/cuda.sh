#!/usr/bin/env bash
# cuda.sh DIRECTORY: adds what a CUDA build needs at run time to a root that root.sh made, from the wheels of
# requirements-cuda.txt: NVRTC where the loader looks, CUDA's headers where CubeCL looks, NVIDIA's licence. Beside it
# DIRECTORY.wheels names each wheel (name, version, SHA-256), for the SBOM. The driver's libcuda.so.1 is not among them:
# NVIDIA's container runtime brings the node's.
source "$(dirname "${BASH_SOURCE[0]}")/../tests/tools/prelude.sh"
shopt -s inherit_errexit

directory=$(realpath --canonicalize-missing "${1:?usage: cuda.sh DIRECTORY}")
requirements=$root/images/requirements-cuda.txt
if [[ $(uname -sm) != "Linux x86_64" ]]; then
    say "${requirements#"$root"/} has wheels for Linux on x86-64 alone: add this machine's, with their hashes"
    exit 1
fi

unpack_wheels() {
    say "Getting NVRTC and CUDA's headers (a download of 96 MB)"
    pinned_pip download --requirement "$requirements" --dest "$1" || return
    local wheel
    for wheel in "$1"/*.whl; do
        python3 -m zipfile -e "$wheel" "$1" || return
    done
    rm "$1"/*.whl
}
wheels=$(kept cuda "$requirements" unpack_wheels)
toolkit=$wheels/nvidia/cu13

libraries=$directory/usr/lib/x86_64-linux-gnu
include=$directory/usr/local/cuda/include
licence=$directory/usr/share/doc/nvidia-cuda
mkdir -p "$libraries" "$include/cccl" "$licence"
# NVRTC opens its built-ins by name, so both must lie where the loader looks by itself. The `alt` ones are for other hosts.
cp "$toolkit"/lib/libnvrtc.so.13 "$toolkit"/lib/libnvrtc-builtins.so.13.* "$libraries"
cp -r "$toolkit"/include/{crt,cooperative_groups,*.h,*.hpp} "$include"
# Of the C++ libraries those that kernels include; Thrust and CUB are for host programs.
cp -r "$toolkit"/include/cccl/{cuda,nv} "$include/cccl"
cp "$wheels"/nvidia_cuda_nvrtc-*.dist-info/licenses/License.txt "$licence/copyright"

chmod -R u=rwX,go=rX "$include" "$licence" "$libraries"/libnvrtc*
awk '/^nvidia-/ { split($1, part, "=="); sub(/.*sha256:/, "", $2); print part[1], part[2], $2 }' \
    "$requirements" >"$directory.wheels"
