#!/usr/bin/env bash
# s3.sh NAME BUCKET…: an S3 server (SeaweedFS) in the cluster's network, reached by pods and node at the same address,
# with these buckets. Prints the settings, one VARIABLE=value a line. When it runs already, it only adds buckets.
source "$(dirname "${BASH_SOURCE[0]}")/cluster.sh"

cluster "${1:?usage: s3.sh NAME BUCKET…}"
shift
if ! alive containerd; then
    say "cluster $name does not run: start it with tests/cluster/up.sh $name"
    exit 1
fi
weed=$(bash "$here/build.sh" weed)
access_key=medtrain-tests secret_key=not-a-secret-in-tests

weed_shell() {
    "${inside[@]}" "$weed" shell -master="$address:9333" 2>/dev/null
}

if ! alive s3; then
    say "Starting the S3 server of cluster $name"
    mkdir -p "$state/s3"
    cat >"$state/config/s3.json" <<JSON
{"identities": [{"name": "tests", "credentials": [{"accessKey": "$access_key", "secretKey": "$secret_key"}],
                 "actions": ["Admin", "Read", "List", "Tagging", "Write"]}]}
JSON
    # Small volumes, made as they are needed: by default each bucket takes seven of 30 GB.
    # A /tmp of its own: its parts talk over sockets there whose names are those of the ports, in every cluster the same.
    start s3 unshare --mount bash -c 'mount -t tmpfs tmpfs /tmp && exec "$@"' s3 \
        env "HOME=$state/s3" "$weed" server -dir="$state/s3" -ip="$address" -ip.bind="$address" \
        -master.volumeSizeLimitMB=256 -master.volumePreallocate=false -volume.max=400 \
        -filer -s3 -s3.port=8333 -s3.config="$state/config/s3.json"
    listens() {
        # A port that answers is not enough: the first writes fail until the volumes are known.
        [[ $("${inside[@]}" "$weed" upload -master="$address:9333" "$here/README.md") == *'"fid"'* ]] &&
            "${inside[@]}" bash -c "exec 3<>/dev/tcp/$address/8333"
    }
    await 60 s3 "S3 server on port 8333" listens
fi

for bucket in "$@"; do
    if ! weed_shell <<<s3.bucket.list | awk '{ print $1 }' | grep --quiet --line-regexp --fixed-strings "$bucket"; then
        weed_shell <<<"s3.bucket.create -name $bucket" >&2
    fi
done
printf '%s\n' "AWS_ENDPOINT_URL=http://$address:8333" "AWS_ACCESS_KEY_ID=$access_key" \
    "AWS_SECRET_ACCESS_KEY=$secret_key" AWS_REGION=us-east-1 AWS_ALLOW_HTTP=true
