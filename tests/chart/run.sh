#!/usr/bin/env bash
# The chart's tests without a cluster: helm, promtool and the schemas of Kubernetes and of the Prometheus operator are
# fetched or built into the cache; tests/e2e installs the chart for real.
source "$(dirname "${BASH_SOURCE[0]}")/../tools/prelude.sh"
here=$root/tests/chart

if ! command -v go >/dev/null; then
    say "go is missing (helm and the schemas come through it): bash tests/tools/prerequisites.sh cluster"
    exit 1
fi

# HELM: a helm of one's own, instead of the one that the test cluster uses.
HELM=${HELM:-$(bash "$root/tests/cluster/build.sh" helm)}
PROMTOOL=$(bash "$tools/prometheus.sh")/promtool

# Go's module cache holds what is in Kubernetes' and the Prometheus operator's source trees.
module() {
    (cd "$here" && go mod download -json "$1") | python3 -c 'import json, sys; print(json.load(sys.stdin)["Dir"])'
}
KUBERNETES=$(module k8s.io/kubernetes)
PROMETHEUS_OPERATOR=$(module github.com/prometheus-operator/prometheus-operator)

packages=$cache/tools/chart-python-$(sha256sum "$here/requirements.txt" | cut -c1-12)
if [[ ! -d $packages ]]; then
    pinned_pip install --requirement "$here/requirements.txt" --target "$packages.partial"
    mv -T "$packages.partial" "$packages"
fi
export HELM PROMTOOL KUBERNETES PROMETHEUS_OPERATOR PYTHONPATH=$packages PYTHONDONTWRITEBYTECODE=1
exec python3 -m unittest discover --start-directory "$here" "$@"
