#!/usr/bin/env bash
# up.sh [--control-plane] NAME: a one-node Kubernetes of real parts, as processes in a network namespace of its own, with
# no Docker engine. Prints the path of its kubeconfig. When the cluster runs already, only that; what a killed run left is
# removed first. --control-plane: no node, DNS or Services; controllers that work through thousands of Jobs.
source "$(dirname "${BASH_SOURCE[0]}")/cluster.sh"
source "$here/pki.sh"
source "$here/control-plane.sh"
source "$here/node.sh"

control_plane_only=false
if [[ ${1:-} == --control-plane ]]; then
    control_plane_only=true
    shift
fi
cluster "${1:?usage: up.sh [--control-plane] NAME}"
reason=$(obstacle)
if [[ -n $reason ]]; then
    say "no cluster on this machine: $reason"
    exit 69
fi
bash "$tools/prerequisites.sh" cluster
hyperkube=$(bash "$here/build.sh" hyperkube)
components=(etcd kube-apiserver kube-controller-manager kube-scheduler)
if ! $control_plane_only; then
    pause=$(bash "$here/build.sh" pause)
    components+=(containerd kubelet kube-proxy coredns)
fi

mkdir -p "$cache/clusters"
exec 8>"$cache/clusters/$name.lock"
flock 8

running() {
    local component
    for component in "${components[@]}"; do
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
make_pki
start_etcd
start_apiserver
if ! $control_plane_only; then
    make_cgroups
    start_containerd
    await 30 containerd "answer of containerd" containerd_is_ready
    load_image "$pause"
fi
await 60 kube-apiserver "ready API server" api_is_ready
start_controllers
cp "$state/config/admin.kubeconfig" "$kubeconfig"
place="without a node"
if ! $control_plane_only; then
    place="on $node"
    start_kubelet
    start_proxy
    start_dns
    await 60 kubelet "registered node" kubectl get node "$node"
    kubectl wait --for=condition=Ready "node/$node" --timeout=60s >/dev/null
fi
await 30 kube-controller-manager "default service account" kubectl get serviceaccount default
say "Cluster $name is ready: $(kubectl version -o json | python3 -c 'import json, sys; print(json.load(sys.stdin)["serverVersion"]["gitVersion"])') $place"
printf '%s\n' "$kubeconfig"
