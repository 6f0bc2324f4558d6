#!/usr/bin/env bash
# load.sh NAME ARCHIVE…: puts OCI archives into the image store of the cluster's node, under the names they carry.
source "$(dirname "${BASH_SOURCE[0]}")/cluster.sh"
source "$here/node.sh"

cluster "${1:?usage: load.sh NAME ARCHIVE…}"
shift
load_image "$@"
