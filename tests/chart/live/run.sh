#!/usr/bin/env bash
# run.sh CLUSTER: asks the Prometheus that start.sh started (MEDTRAIN_E2E_PROMETHEUS) what dashboard and alerts ask.
source "$(dirname "${BASH_SOURCE[0]}")/../prepare.sh"
source "$root/tests/cluster/cluster.sh"

cluster "${1:?usage: run.sh CLUSTER}"
exec "${inside[@]}" python3 -m unittest discover --start-directory "$chart_tests/live"
