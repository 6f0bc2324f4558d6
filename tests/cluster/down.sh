#!/usr/bin/env bash
# down.sh [--keep-logs] NAME: ends a cluster and removes all that it left: processes, mounts, network, cgroups, files.
# Works on whatever an earlier run left behind; doing it again does nothing.
source "$(dirname "${BASH_SOURCE[0]}")/cluster.sh"

locked=false keep_logs=false
while [[ ${1:-} == --* ]]; do
    case $1 in
    --locked) locked=true ;; # by up.sh, which holds the lock
    --keep-logs) keep_logs=true ;;
    *)
        say "usage: down.sh [--keep-logs] NAME"
        exit 64
        ;;
    esac
    shift
done
cluster "${1:?usage: down.sh [--keep-logs] NAME}"
if ! $locked; then
    mkdir -p "$cache/clusters"
    exec 8>"$cache/clusters/$name.lock"
    flock 8
fi

# The pods: every process below the cluster's cgroups.
kill_pods() {
    local hierarchy pids
    while read -r hierarchy; do
        [[ -d $hierarchy/$cgroup ]] || continue
        mapfile -t pids < <(find "$hierarchy/$cgroup" -name cgroup.procs -exec cat {} + 2>/dev/null)
        if ((${#pids[@]} > 0)); then
            kill -KILL "${pids[@]}" 2>/dev/null || true
        fi
    done < <(cgroup_roots)
}

# containerd's shims outlive it: they are in the cluster's network namespace and have its socket on their command line.
kill_shims() {
    local pid
    [[ -e /run/netns/$netns ]] || return 0
    for pid in $(ip netns pids "$netns"); do
        if grep --quiet --null-data --line-regexp --fixed-strings "$state/containerd.sock" "/proc/$pid/cmdline" 2>/dev/null; then
            kill -KILL "$pid" 2>/dev/null || true
        fi
    done
}

remove_mounts() {
    local mount
    while read -r mount; do
        umount --lazy "$mount"
    done < <(awk -v below="$state/" 'index($2, below) == 1 { print $2 }' /proc/mounts | sort --reverse)
}

remove_cgroups() {
    local hierarchy tries
    while read -r hierarchy; do
        for ((tries = 0; tries < 20; tries++)); do
            [[ -d $hierarchy/$cgroup ]] || break
            find "$hierarchy/$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.1
        done
    done < <(cgroup_roots)
}

# Outside the state directory programs leave only these: sockets of shims, addresses of pods, links to logs.
remove_strays() {
    local container
    for container in "$state"/containerd/state/io.containerd.runtime.v2.task/k8s.io/*; do
        if [[ -f $container/address ]]; then
            rm -f "$(sed 's|^unix://||' "$container/address")" "/var/lib/cni/results/cni-loopback-${container##*/}-lo"
        fi
    done
    rm -f "/var/lib/cni/results/$netns"-*
    if [[ -d /var/log/containers ]]; then
        find /var/log/containers -lname "$state/*" -delete
    fi
}

end TERM operator discover prometheus kubelet kube-proxy kube-scheduler kube-controller-manager coredns kube-apiserver s3
kill_pods
end TERM containerd etcd
kill_shims
remove_mounts
remove_strays
if [[ -e /run/netns/$netns ]]; then
    ip netns delete "$netns"
fi
remove_cgroups
if $keep_logs; then
    find "$state" -mindepth 1 -maxdepth 1 ! -name log ! -name pod-logs -exec rm -rf {} + 2>/dev/null || true
else
    rm -rf "$state"
fi
