#!/usr/bin/env bash
# `make test-vulkan`: what GPUs run (burn's CubeCL, by its wgpu backend) against the CPU's kernels, on Mesa's software
# Vulkan device. No GPU is needed or used.
#
# It builds into the target directory of everything else. Cargo keeps apart what differs by features, so neither build
# disturbs the other; only `medtrain` itself has one place for both, and is put back afterwards.
source "$(dirname "${BASH_SOURCE[0]}")/prelude.sh"

bash "$tools/prerequisites.sh" vulkan
marker=$(vulkan_marker)
medtrain=${marker%/*}/medtrain

put_back() {
    if [[ -n $before ]]; then
        build_medtrain
    else
        rm -f "$medtrain"
    fi
}
before=$(compgen -G "$medtrain" || true)
trap put_back EXIT

# Its own code unoptimised, which compiles in a fifth of the time: kernels are compiled by the device's driver.
vulkan() {
    cargo test --release --locked -p medtrain-trainer --features wgpu --test vulkan \
        --config 'profile.release.package.medtrain-trainer.opt-level=0' "$@"
}
about="about a minute on 2 cores"
[[ -e $marker ]] || about="the first time about 9 minutes on 2 cores"
step "Building medtrain with wgpu ($about)" vulkan --no-run
rm -f "${marker%/*}"/vulkan-*-*
touch "$marker"
step "Tests on software Vulkan" vulkan
