#!/usr/bin/env bash
# enter.sh NAME [COMMAND…]: runs a command (a shell, if none) in the cluster's network, with KUBECONFIG set and kubectl
# and helm on the PATH.
source "$(dirname "${BASH_SOURCE[0]}")/cluster.sh"

cluster "${1:?usage: enter.sh NAME [COMMAND…]}"
shift
if [[ ! -f $kubeconfig ]]; then
    say "cluster $name does not run: start it with tests/cluster/up.sh $name"
    exit 1
fi
hyperkube=$(<"$state/hyperkube")
PATH=$hyperkube:$(dirname "$(bash "$here/build.sh" helm)"):$PATH
export PATH KUBECONFIG=$kubeconfig
exec "${inside[@]}" "${@:-bash}"
