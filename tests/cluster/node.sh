# Sourced by up.sh: the node's network, cgroups, containerd, kubelet, kube-proxy.
# shellcheck shell=bash disable=SC2154 # the variables are cluster.sh's and up.sh's

# The node is a network namespace with a bridge. Nothing leads out of it, so tests can't reach the world by accident; the
# default route is there because the API server and the kubelet pick their addresses by it.
make_network() {
    ip netns add "$netns"
    "${inside[@]}" ip link set lo up
    "${inside[@]}" ip link add node0 type bridge
    "${inside[@]}" ip address add "$address/16" dev node0
    "${inside[@]}" ip link set node0 up
    "${inside[@]}" ip route add default via "$address" dev node0
    "${inside[@]}" sysctl --quiet --write net.ipv4.ip_forward=1
}

make_cgroups() {
    local hierarchy
    while read -r hierarchy; do
        if [[ -f $hierarchy/cgroup.subtree_control ]]; then
            sed 's/[^ ]*/+&/g' "$hierarchy/cgroup.controllers" >"$hierarchy/cgroup.subtree_control"
        fi
        mkdir -p "$hierarchy/$cgroup"
        # Version 1: a new cpuset is empty and takes no process until it is given some.
        if [[ -f $hierarchy/cpuset.cpus ]]; then
            cat "$hierarchy/cpuset.cpus" >"$hierarchy/$cgroup/cpuset.cpus"
            cat "$hierarchy/cpuset.mems" >"$hierarchy/$cgroup/cpuset.mems"
        fi
    done < <(cgroup_roots | sort -u)
}

start_containerd() {
    local snapshotter=overlayfs
    # overlayfs can't lie on overlayfs, which is what a container's root is.
    if [[ $(stat --file-system --format %T "$state") == overlayfs ]]; then
        snapshotter=native
    fi
    mkdir -p "$state/cni"
    cat >"$state/cni/10-bridge.conflist" <<JSON
{"cniVersion": "0.4.0", "name": "$netns", "plugins": [
  {"type": "bridge", "bridge": "node0", "isGateway": true, "ipMasq": false, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": "$state/addresses", "ranges": [[{"subnet": "$pod_network"}]],
            "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
JSON
    # restrict_oom_score_adj: without CAP_SYS_RESOURCE runc may not lower the score of the pause process.
    cat >"$state/config/containerd.toml" <<TOML
version = 2
root = "$state/containerd/root"
state = "$state/containerd/state"
[grpc]
  address = "$state/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "$state/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "registry.local/pause:1"
  tolerate_missing_hugetlb_controller = true
  disable_apparmor = true
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$state/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "$snapshotter"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
TOML
    start containerd containerd --config "$state/config/containerd.toml"
}

containerd_is_ready() {
    ctr --address "$state/containerd.sock" version
}

# load_image ARCHIVE…: OCI archives into the node's image store, under the names that they carry.
load_image() {
    local archive
    for archive in "$@"; do
        ctr --address "$state/containerd.sock" --namespace k8s.io images import "$archive" >/dev/null
    done
}

start_kubelet() {
    # Evictions by disk are off: a full disk of the host is not what a test is about.
    cat >"$state/config/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $address
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $pki/ca.crt}}
authorization: {mode: Webhook}
cgroupDriver: cgroupfs
cgroupRoot: /$cgroup
clusterDNS: [$dns_address]
clusterDomain: cluster.local
containerRuntimeEndpoint: unix://$state/containerd.sock
evictionHard: {memory.available: 100Mi, nodefs.available: 0%, nodefs.inodesFree: 0%, imagefs.available: 0%}
failCgroupV1: false
failSwapOn: false
imageGCHighThresholdPercent: 100
podLogsDir: $state/pod-logs
resolvConf: ""
tlsCertFile: $pki/kubelet.crt
tlsPrivateKeyFile: $pki/kubelet.key
volumePluginDir: $state/volume-plugins
YAML
    start kubelet "$hyperkube/kubelet" --config="$state/config/kubelet.yaml" \
        --kubeconfig="$state/config/kubelet.kubeconfig" --hostname-override="$node" --node-ip="$address" \
        --root-dir="$state/kubelet" --cert-dir="$state/kubelet-pki"
}

start_proxy() {
    cat >"$state/config/proxy.yaml" <<YAML
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
bindAddress: $address
clusterCIDR: $pod_network
clientConnection: {kubeconfig: $state/config/proxy.kubeconfig}
conntrack: {maxPerCore: 0, min: 0, tcpCloseWaitTimeout: 0s, tcpEstablishedTimeout: 0s}
hostnameOverride: $node
YAML
    start kube-proxy "$hyperkube/kube-proxy" --config="$state/config/proxy.yaml"
}

# DNS runs on the node itself, behind a Service without selector.
start_dns() {
    cat >"$state/config/Corefile" <<COREFILE
.:53 {
  bind $address
  errors
  ready 127.0.0.1:8181
  kubernetes cluster.local {
    kubeconfig $state/config/coredns.kubeconfig
  }
  cache 5
}
COREFILE
    start coredns "$hyperkube/coredns" -conf "$state/config/Corefile"
    "${inside[@]}" "$hyperkube/kubectl" --kubeconfig "$state/config/admin.kubeconfig" apply -f - >/dev/null <<YAML
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: system:coredns}
rules:
  - {apiGroups: [""], resources: [services, namespaces, pods, endpoints], verbs: [list, watch]}
  - {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: system:coredns}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: system:coredns}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: system:coredns}]
---
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
spec:
  clusterIP: $dns_address
  ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53, protocol: TCP}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: kube-dns-node, namespace: kube-system, labels: {kubernetes.io/service-name: kube-dns}}
addressType: IPv4
ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53, protocol: TCP}]
endpoints: [{addresses: [$address], conditions: {ready: true}}]
YAML
}
