#!/usr/bin/env bash
# run.sh [TRAININGS]: so many trainings (1,000) at once on a control plane of our own with fake nodes; asserts that all
# complete and nothing is done twice, and prints what it took.
# KEEP=1 leaves the control plane; OPERATOR_BINARY and SCALE_PROGRAM name programs that are built already.
source "$(dirname "${BASH_SOURCE[0]}")/../cluster/cluster.sh"

export MEDTRAIN_SCALE_TRAININGS=${1:-1000}
if [[ ! $MEDTRAIN_SCALE_TRAININGS =~ ^[1-9][0-9]*$ ]]; then
    say "usage: tests/scale/run.sh [TRAININGS], not \"$1\""
    exit 64
fi
cluster "${CLUSTER:-scale}"
reason=$(obstacle)
if [[ -n $reason ]]; then
    say "Scale tests are skipped: $reason"
    exit
fi

if [[ -z ${OPERATOR_BINARY:-} ]]; then
    cargo build --release --locked -p medtrain-operator
    OPERATOR_BINARY=$(target_dir)/release/medtrain-operator
fi
if [[ -z ${SCALE_PROGRAM:-} ]]; then
    SCALE_PROGRAM=$(test_program medtrain-scale trainings)
fi

# A new one every time: what is counted must be this run's.
bash "$here/down.sh" "$name"
if [[ -z ${KEEP:-} ]]; then
    trap 'bash "$here/down.sh" "$name"' EXIT
fi
bash "$here/up.sh" --control-plane "$name" >/dev/null
enter=(bash "$here/enter.sh" "$name")
# Pods have addresses in here, and all are this machine's.
"${inside[@]}" ip route add local 10.99.0.0/16 dev lo

# The chart without its pods: definition, ServiceAccount, rights, configuration. The operator runs here, as that account,
# with the flags that the chart would give it.
system=medtrain-system release=medtrain
step "Installing the chart" "${enter[@]}" helm install "$release" charts/medtrain --namespace "$system" \
    --create-namespace --set replicaCount=0 >/dev/null
of_chart() {
    "${enter[@]}" kubectl --namespace "$system" "$@"
}
mkdir -p "$state/operator"
of_chart get configmap "$release-config" --output 'jsonpath={.data.config\.yaml}' >"$state/operator/config.yaml"
flags=$(of_chart get deployment "$release" --output 'jsonpath={range .spec.template.spec.containers[0].args[*]}{@}{"\n"}{end}')
mapfile -t flags < <(grep -v -e '^--config=' <<<"$flags")
account=$(of_chart get deployment "$release" --output 'jsonpath={.spec.template.spec.serviceAccountName}')
token=$(of_chart create token "$account" --duration 24h)
(
    umask 077
    cat >"$state/operator/kubeconfig" <<YAML
apiVersion: v1
kind: Config
clusters:
  - name: $name
    cluster: {server: "https://$address:6443", certificate-authority: $state/pki/ca.crt}
users:
  - {name: operator, user: {token: $token}}
contexts:
  - {name: $name, context: {cluster: $name, user: operator, namespace: $system}}
current-context: $name
YAML
)
KUBECONFIG=$state/operator/kubeconfig start operator \
    "$OPERATOR_BINARY" "${flags[@]}" "--config=$state/operator/config.yaml" "--lease-namespace=$system"
operator_is_ready() {
    "${inside[@]}" python3 -c 'import urllib.request; urllib.request.urlopen("http://127.0.0.1:8081/readyz")' &&
        grep --quiet '"leading"' "$state/log/operator.log"
}
await 60 operator "operator that leads" operator_is_ready

export KUBECONFIG=$kubeconfig MEDTRAIN_SCALE_STATE=$state MEDTRAIN_SCALE_METRICS=http://127.0.0.1:9090/metrics
export MEDTRAIN_SCALE_OPERATOR=system:serviceaccount:$system:$account
export RUST_BACKTRACE=0
step "$MEDTRAIN_SCALE_TRAININGS trainings" "${inside[@]}" "$SCALE_PROGRAM" --nocapture
