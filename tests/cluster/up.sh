#!/usr/bin/env bash
# up.sh NAME: a one-node Kubernetes of real parts, as processes in a network namespace of its own, with no Docker engine.
# Prints the path of its kubeconfig. When the cluster runs already, only that; what a killed run left is removed first.
source "$(dirname "${BASH_SOURCE[0]}")/cluster.sh"
source "$here/pki.sh"
source "$here/control-plane.sh"
source "$here/node.sh"

cluster "${1:?usage: up.sh NAME}"
reason=$(obstacle)
if [[ -n $reason ]]; then
    say "no cluster on this machine: $reason"
    exit 69
fi
bash "$tools/prerequisites.sh" cluster
hyperkube=$(bash "$here/build.sh" hyperkube)
pause=$(bash "$here/build.sh" pause)

mkdir -p "$cache/clusters"
exec 8>"$cache/clusters/$name.lock"
flock 8

running() {
    local component
    for component in etcd kube-apiserver kube-controller-manager kube-scheduler containerd kubelet kube-proxy coredns; do
        alive "$component" || return
    done
    [[ -f $kubeconfig ]] && [[ $(kubectl get --raw /readyz) == ok ]]
}

if running; then
    say "cluster $name runs already"
    printf '%s\n' "$kubeconfig"
    exit
fi
bash "$here/down.sh" --locked "$name"

say "Starting cluster $name"
mkdir -p "$state/config"
printf '%s\n' "$hyperkube" >"$state/hyperkube"
make_network
make_cgroups
make_pki
start_etcd
start_apiserver
start_containerd
await 30 containerd "answer of containerd" containerd_is_ready
load_image "$pause"
await 60 kube-apiserver "ready API server" api_is_ready
start_controllers
start_kubelet
start_proxy
start_dns
cp "$state/config/admin.kubeconfig" "$kubeconfig"
await 60 kubelet "registered node" kubectl get node "$node"
kubectl wait --for=condition=Ready "node/$node" --timeout=60s >/dev/null
await 30 kube-controller-manager "default service account" kubectl get serviceaccount default
say "Cluster $name is ready: $(kubectl version -o json | python3 -c 'import json, sys; print(json.load(sys.stdin)["serverVersion"]["gitVersion"])') on $node"
printf '%s\n' "$kubeconfig"
