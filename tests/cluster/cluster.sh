# Sourced by the scripts beside it: where a cluster's things lie, how its processes are started and ended.
# Holds: only processes whose id and start time were recorded here are signalled, and processes that live in the
# cluster's own cgroup or network namespace.
# shellcheck shell=bash
# shellcheck disable=SC2034 # variables are for the scripts that source this
source "$(dirname "${BASH_SOURCE[0]}")/../tools/prelude.sh"
shopt -s inherit_errexit

here=$root/tests/cluster
address=10.88.0.1 # of the node, in the cluster's own network namespace
pod_network=10.88.0.0/16
service_network=10.96.0.0/16
dns_address=10.96.0.10
node="node-1"

# cluster NAME: sets the variables of that cluster.
cluster() {
    name=$1
    if [[ ! $name =~ ^[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?$ ]]; then
        say "a cluster's name has 1 to 20 lower case letters, digits and hyphens, and \"$name\" does not"
        exit 64
    fi
    state=$cache/clusters/$name
    netns=medtrain-$name
    cgroup=medtrain-$name # in every hierarchy; the kubelet puts the pods below it
    kubeconfig=$state/kubeconfig
    inside=(nsenter "--net=/run/netns/$netns" --)
    # A socket's path holds 107 bytes; the longest one here is below the kubelet's directory.
    if ((${#state} > 60)); then
        say "$state is too long a path for sockets below it: set XDG_CACHE_HOME to a shorter one"
        exit 64
    fi
}

# Prints why this machine can't run a cluster, or nothing.
obstacle() {
    local probe=medtrain-probe-$$
    if [[ $(uname -s) != Linux ]]; then
        echo "this is not Linux"
    elif [[ $(id -u) != 0 ]]; then
        echo "it needs root for namespaces, mounts and cgroups"
    elif ! command -v apt-get >/dev/null && ! command -v containerd >/dev/null; then
        echo "containerd is missing, and there is no apt-get to install it"
    elif ! unshare --net true 2>/dev/null || ! unshare --mount true 2>/dev/null; then
        echo "this root may not make network and mount namespaces (CAP_SYS_ADMIN)"
    elif [[ -z $(cgroup_roots) ]]; then
        echo "no cgroup hierarchy is mounted below /sys/fs/cgroup"
    elif ! mkdir "$(cgroup_roots | head -n 1)/$probe" 2>/dev/null; then
        echo "the cgroups are read-only"
    else
        rmdir "$(cgroup_roots | head -n 1)/$probe"
    fi
}

# The mount points of cgroups: one of version 2, or several of version 1 with perhaps one of version 2 beside them.
cgroup_roots() {
    awk '$3 ~ /^cgroup2?$/ && $2 ~ "^/sys/fs/cgroup(/|$)" { print $2 }' /proc/mounts
}

# When the process started, in ticks since boot: tells it from a later one of the same id.
started_at() {
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return
    awk '{ print $20 }' <<<"${stat##*) }"
}

# start COMPONENT COMMAND…: in the background, in the cluster's network namespace, with its output in log/COMPONENT.log.
start() {
    local component=$1 pid
    shift
    mkdir -p "$state"/{log,pid}
    # nsenter and setsid exec, so $! is the program itself. Not our lock: it would be held for as long as the program runs.
    setsid "${inside[@]}" "$@" >>"$state/log/$component.log" 2>&1 </dev/null 8>&- 9>&- &
    pid=$!
    printf '%s %s\n' "$pid" "$(started_at "$pid")" >"$state/pid/$component"
}

# alive COMPONENT: the process that was recorded is still there.
alive() {
    local pid began
    [[ -f $state/pid/$1 ]] || return
    read -r pid began <"$state/pid/$1" && [[ -n $began && $(started_at "$pid" || true) == "$began" ]]
}

# end SIGNAL COMPONENT…: signals those that are alive and waits until they are gone; SIGKILL after 10 seconds.
end() {
    local signal=$1 component pid rest tries
    shift
    for component in "$@"; do
        if alive "$component"; then
            read -r pid rest <"$state/pid/$component"
            kill "-$signal" "$pid" 2>/dev/null || true
        fi
    done
    for component in "$@"; do
        for ((tries = 0; tries < 200; tries++)); do
            alive "$component" || break
            if ((tries == 100)); then
                read -r pid rest <"$state/pid/$component"
                kill -KILL "$pid" 2>/dev/null || true
            fi
            sleep 0.1
        done
        rm -f "$state/pid/$component"
    done
}

# await SECONDS COMPONENT WHAT COMMAND…: until COMMAND succeeds; says what did not happen, with the end of the log.
await() {
    local seconds=$1 component=$2 what=$3 begin=$SECONDS
    shift 3
    until "$@" >/dev/null 2>&1; do
        if ! alive "$component"; then
            say "$component ended; the last lines of $state/log/$component.log:"
        elif ((SECONDS - begin >= seconds)); then
            say "no $what within $seconds s; the last lines of $state/log/$component.log:"
        else
            sleep 0.2
            continue
        fi
        tail -n 20 "$state/log/$component.log" >&2
        return 1
    done
}

# Runs the cluster's kubectl as admin; up.sh sets hyperkube.
# shellcheck disable=SC2154
kubectl() {
    "${inside[@]}" "$hyperkube/kubectl" --kubeconfig "$kubeconfig" "$@"
}
