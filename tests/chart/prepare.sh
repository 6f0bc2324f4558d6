# Sourced by the scripts that run the chart's tests: exports where helm, promtool, schemas and Python packages lie, which
# are fetched or built into the cache.
# shellcheck shell=bash
source "$(dirname "${BASH_SOURCE[0]}")/../tools/prelude.sh"
chart_tests=$root/tests/chart

if ! command -v go >/dev/null; then
    say "go is missing (helm and the schemas come through it): bash tests/tools/prerequisites.sh cluster"
    exit 1
fi

# HELM: a helm of one's own, instead of the one that the test cluster uses.
HELM=${HELM:-$(bash "$root/tests/cluster/build.sh" helm)}
PROMTOOL=$(bash "$tools/prometheus.sh")/promtool

# Go's module cache holds what is in Kubernetes' and the Prometheus operator's source trees.
module() {
    (cd "$chart_tests" && go mod download -json "$1") | python3 -c 'import json, sys; print(json.load(sys.stdin)["Dir"])'
}
KUBERNETES=$(module k8s.io/kubernetes)
PROMETHEUS_OPERATOR=$(module github.com/prometheus-operator/prometheus-operator)

packages=$cache/tools/chart-python-$(sha256sum "$chart_tests/requirements.txt" | cut -c1-12)
if [[ ! -d $packages ]]; then
    pinned_pip install --requirement "$chart_tests/requirements.txt" --target "$packages.partial"
    mv -T "$packages.partial" "$packages"
fi
export HELM PROMTOOL KUBERNETES PROMETHEUS_OPERATOR PYTHONDONTWRITEBYTECODE=1
export PYTHONPATH=$packages:$chart_tests
