#!/usr/bin/env bash
# The chart's tests that need no cluster; tests/chart/cluster has those that do.
source "$(dirname "${BASH_SOURCE[0]}")/prepare.sh"

exec python3 -m unittest discover --start-directory "$chart_tests" "$@"
