# Sourced by up.sh: etcd, API server, controller manager, scheduler.
# shellcheck shell=bash disable=SC2154 # the variables are cluster.sh's and up.sh's

start_etcd() {
    # Without fsync: a test cluster does not outlive the machine.
    start etcd "$hyperkube/etcd" --data-dir "$state/etcd" --unsafe-no-fsync=true \
        --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
        --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 \
        --initial-cluster default=http://127.0.0.1:2380
}

# What the tests count: who asked for what with which answer; not what the cluster's own parts do all day.
audit_policy() {
    cat <<'YAML'
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - {level: None, userGroups: ["system:nodes"]}
  - level: None
    users: ["system:apiserver", "system:coredns", "system:kube-controller-manager", "system:kube-proxy", "system:kube-scheduler"]
  - {level: None, userGroups: ["system:serviceaccounts:kube-system"]}
  - {level: None, nonResourceURLs: ["/*"]}
  - {level: Metadata}
YAML
}

start_apiserver() {
    audit_policy >"$state/config/audit.yaml"
    start kube-apiserver "$hyperkube/kube-apiserver" --etcd-servers=http://127.0.0.1:2379 \
        --bind-address="$address" --secure-port=6443 --advertise-address="$address" \
        --service-cluster-ip-range="$service_network" --authorization-mode=Node,RBAC \
        --enable-admission-plugins=NodeRestriction --allow-privileged=true \
        --client-ca-file="$pki/ca.crt" --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" \
        --kubelet-client-certificate="$pki/apiserver-kubelet.crt" \
        --kubelet-client-key="$pki/apiserver-kubelet.key" --kubelet-preferred-address-types=InternalIP \
        --service-account-issuer=https://kubernetes.default.svc \
        --service-account-key-file="$pki/service-account.pub" \
        --service-account-signing-key-file="$pki/service-account.key" \
        --audit-policy-file="$state/config/audit.yaml" --audit-log-path="$state/log/audit.jsonl"
}

api_is_ready() {
    [[ $("${inside[@]}" "$hyperkube/kubectl" --kubeconfig "$state/config/admin.kubeconfig" get --raw /readyz) == ok ]]
}

start_controllers() {
    # The request rates are lifted above the defaults (20 a second): tests create many Jobs at once. Without a node the
    # pods are fake and thousands; then these parts would be what is measured, so they get next to no limit and more
    # workers than by default (5).
    local rates=(--kube-api-qps=100 --kube-api-burst=200) workers=()
    if $control_plane_only; then
        rates=(--kube-api-qps=2000 --kube-api-burst=4000)
        workers=(--concurrent-job-syncs=20)
    fi
    start kube-controller-manager "$hyperkube/kube-controller-manager" \
        --kubeconfig="$state/config/controller-manager.kubeconfig" --leader-elect=false --bind-address=127.0.0.1 \
        --root-ca-file="$pki/ca.crt" --service-account-private-key-file="$pki/service-account.key" \
        --use-service-account-credentials=true --controllers='*,-nodeipam,-cloud-node-lifecycle' \
        "${rates[@]}" "${workers[@]}"
    start kube-scheduler "$hyperkube/kube-scheduler" --kubeconfig="$state/config/scheduler.kubeconfig" \
        --leader-elect=false --bind-address=127.0.0.1 "${rates[@]}"
}
