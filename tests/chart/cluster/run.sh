#!/usr/bin/env bash
# Installs the chart on a real API server, upgrades and removes it: on the cluster that KUBECONFIG names, which must have
# no MedTrain (tests/cluster/enter.sh NAME sets it), else on one of tests/cluster that is started for it.
# MEDTRAIN_E2E_OPERATOR_IMAGE=REPOSITORY:TAG, an image that the nodes have: the operator itself is tested, too.
source "$(dirname "${BASH_SOURCE[0]}")/../prepare.sh"

tests=(python3 -m unittest discover --start-directory "$chart_tests/cluster" "$@")
if [[ -n ${KUBECONFIG:-} ]]; then
    exec "${tests[@]}"
fi

source "$root/tests/cluster/cluster.sh"
cluster "${CLUSTER:-chart}"
reason=$(obstacle)
if [[ -n $reason ]]; then
    say "The chart's tests on a cluster are skipped: $reason (or give the KUBECONFIG of a cluster)"
    exit
fi
if [[ -z ${KEEP:-} ]]; then
    trap 'bash "$here/down.sh" "$name"' EXIT
fi
bash "$here/up.sh" "$name" >/dev/null
archive=$(bash images/build.sh operator)
bash "$here/load.sh" "$name" "$archive"
version=$(awk -F '"' '/^version = / { print $2; exit }' Cargo.toml)
export MEDTRAIN_E2E_OPERATOR_IMAGE=docker.io/medtrain/operator:$version
bash "$here/enter.sh" "$name" "${tests[@]}"
