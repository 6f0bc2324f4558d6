#!/usr/bin/env bash
# start.sh CLUSTER RELEASE NAMESPACE: a Prometheus in the cluster's network that scrapes what the chart's monitors name,
# every second. Prints its address. tests/chart/live/test_live.py asks it.
source "$(dirname "${BASH_SOURCE[0]}")/../prepare.sh"
source "$root/tests/cluster/cluster.sh"

cluster "${1:?usage: start.sh CLUSTER RELEASE NAMESPACE}"
prometheus=$(bash "$tools/prometheus.sh")/prometheus
if ! alive prometheus; then
    say "Starting Prometheus in cluster $name"
    mkdir -p "$state"/prometheus/{data,targets}
    python3 "$chart_tests/live/scrape.py" "${2:?release}" "${3:?namespace}" "$state/prometheus/targets" 1 \
        >"$state/config/prometheus.yaml"
    start discover python3 "$chart_tests/live/discover.py" "$(<"$state/hyperkube")/kubectl" "$kubeconfig" "$3" \
        "$state/prometheus/targets"
    start prometheus "$prometheus" --config.file="$state/config/prometheus.yaml" \
        --storage.tsdb.path="$state/prometheus/data" --web.listen-address="$address:9099"
    answers() {
        "${inside[@]}" bash -c "exec 3<>/dev/tcp/$address/9099"
    }
    await 30 prometheus "answer of Prometheus" answers
fi
printf 'http://%s:9099\n' "$address"
