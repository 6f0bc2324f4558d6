#!/usr/bin/env bash
# build.sh [trainer|operator|trainer-cuda]…: builds images with buildah or a Docker engine and prints a path for each: an OCI archive
# in the target directory, with its SBOM (SPDX JSON) and its digest beside it. The same inputs give the same digest.
# Without names: trainer and operator. TRAINER_BINARY, OPERATOR_BINARY and TRAINER_CUDA_BINARY name programs to pack
# instead of those of the workspace; IMAGES_DIR another place.
source "$(dirname "${BASH_SOURCE[0]}")/../tests/tools/prelude.sh"
shopt -s inherit_errexit

registry=docker.io # containerd's name for images that name none
version=$(awk -F '"' '/^version = / { print $2; exit }' Cargo.toml)
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
epoch=$(git log -1 --format=%ct 2>/dev/null || echo 0)
created=$(date --utc --date "@$epoch" +%FT%TZ)
out=${IMAGES_DIR:-$(target_dir)/images}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# about IMAGE: sets what an image is made of: the folder of its crate, its features, the program's name in it, its own
# name, and a program that was given for it.
about() {
    crate=${1%-cuda} features=() name=medtrain tag=$version
    [[ $crate == trainer ]] || name=medtrain-$crate
    if [[ $1 == *-cuda ]]; then
        features=(--features cuda)
        tag=$version-cuda
    fi
    local binary=${1//-/_}
    binary=${binary^^}_BINARY
    given=${!binary:-}
}

# program: prints the path of the program that goes into the image.
program() {
    if [[ -n $given ]]; then
        printf '%s\n' "$given"
        return
    fi
    # By -p: a build of the whole workspace would merge the features that the other crates ask for into it.
    cargo build --release --locked -p "medtrain-$crate" "${features[@]}" >&2
    printf '%s\n' "$(target_dir)/release/$name"
}

# with_buildah NAME CONTEXT ARCHIVE: needs no engine and no network; its storage is a throw-away directory.
with_buildah() {
    local store=(--root "$scratch/store" --runroot "$scratch/run" --storage-driver vfs)
    buildah "${store[@]}" bud --quiet --isolation chroot --timestamp "$epoch" --tag "$1" "${arguments[@]}" "$2" >/dev/null
    rm -rf "$scratch/layout"
    buildah "${store[@]}" push --quiet "$1" "oci:$scratch/layout" >/dev/null
    python3 images/archive.py "$scratch/layout" "$1" "$3"
}

# with_docker NAME CONTEXT ARCHIVE: docker save writes an OCI layout since version 25.
with_docker() {
    SOURCE_DATE_EPOCH=$epoch docker buildx build --quiet --provenance=false --tag "$1" "${arguments[@]}" \
        --output "type=docker,rewrite-timestamp=true,dest=$scratch/image.tar" "$2" >/dev/null
    rm -rf "$scratch/layout"
    mkdir "$scratch/layout"
    tar -xf "$scratch/image.tar" -C "$scratch/layout"
    python3 images/archive.py "$scratch/layout" "$1" "$3"
}

engine=with_docker
if command -v buildah >/dev/null; then
    engine=with_buildah
elif ! docker info >/dev/null 2>&1; then
    bash "$tools/prerequisites.sh" images
    engine=with_buildah
fi

mkdir -p "$out"
bash images/root.sh "$scratch/root"
if (($# == 0)); then
    set -- trainer operator
fi
for image in "$@"; do
    about "$image"
    if [[ $crate == operator && -z $given && ! -f operator/Cargo.toml ]]; then
        say "No operator image: the workspace has no operator/ (OPERATOR_BINARY names a program to pack)"
        continue
    fi
    binary=$(program)
    context=$scratch/$image
    rm -rf "$context"
    mkdir "$context"
    base=$scratch/root
    : >"$base.wheels"
    if [[ $image == *-cuda ]]; then
        base=$scratch/root-cuda
        bash images/root.sh "$base" libstdc++6 # which NVRTC's built-ins are linked with
        bash images/cuda.sh "$base"
    fi
    cp -a "$base" "$context/root"
    strip --strip-all -o "$context/$name" "$binary"
    chmod 755 "$context/$name"
    cp "images/$image/Dockerfile" "$context"

    arguments=(--build-arg "VERSION=$version" --build-arg "REVISION=$revision" --build-arg "CREATED=$created")
    archive=$out/$image-$version.tar
    digest=$("$engine" "$registry/medtrain/$crate:$tag" "$context" "$archive")
    printf '%s\n' "$digest" >"$archive.digest"
    # The image's inputs without the program name a crate tree of their own when a program is given.
    if [[ -f $crate/Cargo.toml ]]; then
        cargo tree --locked --package "medtrain-$crate" "${features[@]}" --edges normal --prefix none --format '{p}|{l}' |
            python3 images/sbom.py "medtrain/$crate" "$tag" "$created" "$base.packages" "$base.wheels" \
                >"$archive.spdx.json"
    fi
    unpacked=$(du -sm --apparent-size "$context" | cut -f1)
    say "medtrain/$crate:$tag: $unpacked MB unpacked, $digest"
    printf '%s\n' "$archive"
done
