#!/usr/bin/env bash
# Who may link what: the trainer has no Kubernetes client, the contract no tensors and no runtime.
source "$(dirname "${BASH_SOURCE[0]}")/prelude.sh"

# links_none PACKAGE CRATE-REGEX REASON
links_none() {
    local package=$1 forbidden=$2 reason=$3 tree found
    tree=$(cargo tree --locked --edges normal,build --all-features --prefix none --package "$package")
    found=$(awk '{ print $1 }' <<<"$tree" | grep -xE "$forbidden" | sort -u | paste -sd' ' || true)
    if [[ -n $found ]]; then
        say "$package links $found, but $reason; \`cargo tree -p $package -i ${found%% *}\` tells through what"
        return 1
    fi
}

links_none medtrain-trainer 'kube|kube-.*|k8s-openapi' "the trainer holds no Kubernetes client"
links_none medtrain-crds 'burn|burn-.*|cubecl.*|tokio|tokio-.*|reqwest|object_store' "the contract is pure data"
