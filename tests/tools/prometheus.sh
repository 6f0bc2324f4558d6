#!/usr/bin/env bash
# prometheus.sh: prints a directory that holds `prometheus` and `promtool`: those of the PATH, else out of Debian's
# package, which is unpacked in the cache and not installed (no service starts, no rights are needed).
source "$(dirname "${BASH_SOURCE[0]}")/prelude.sh"

if command -v promtool >/dev/null && command -v prometheus >/dev/null; then
    dirname "$(command -v promtool)"
    exit 0
fi
unpacked=$cache/tools/prometheus
if [[ ! -x $unpacked/usr/bin/promtool ]]; then
    if ! command -v apt-get >/dev/null; then
        say "promtool is missing, and there is no apt-get to fetch Debian's package prometheus: install Prometheus and run this again"
        exit 1
    fi
    mkdir -p "$cache/tools"
    fetched=$(mktemp -d "$cache/tools/prometheus.XXXXXX")
    trap 'rm -rf "$fetched"' EXIT
    say "Fetching Prometheus: 19 MB, from Debian's packages"
    if ! (cd "$fetched" && apt-get download --quiet prometheus >&2); then
        say "apt-get does not know the package prometheus: run apt-get update and try again"
        exit 1
    fi
    dpkg-deb --extract "$fetched"/prometheus_*.deb "$fetched/root"
    rm -rf "$unpacked"
    mv -T "$fetched/root" "$unpacked"
fi
printf '%s\n' "$unpacked/usr/bin"
