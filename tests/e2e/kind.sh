#!/usr/bin/env bash
# `make e2e-kind`: the portable end-to-end tests on a kind cluster, with the images of this tree and an S3 server on this
# machine. Needs a Docker engine and kind; everything that it starts is removed afterwards; KEEP=1 leaves it.
# Arguments go to the test programs: a part of a test's name runs only those.
source "$(dirname "${BASH_SOURCE[0]}")/../tools/prelude.sh"

name=medtrain-e2e bucket=medtrain-e2e port=8333
access_key=medtrain-tests secret_key=not-a-secret-in-tests

for program in docker kind; do
    if ! command -v "$program" >/dev/null; then
        say "$program is missing: make e2e-kind needs a Docker engine and kind (go install sigs.k8s.io/kind@v0.30.0)"
        exit 69
    fi
done
if ! docker info >/dev/null 2>&1; then
    say "the Docker engine does not answer: docker info"
    exit 69
fi

work=$(mktemp -d)
s3=
# shellcheck disable=SC2329 # by trap
remove() {
    if [[ -n ${KEEP:-} ]]; then
        say "Left: kind cluster $name (KUBECONFIG=$work/kubeconfig), S3 server $s3 with its data in $work"
        return
    fi
    [[ -z $s3 ]] || kill "$s3" 2>/dev/null || true
    kind delete cluster --name "$name" --kubeconfig "$work/kubeconfig" || true
    rm -rf "$work"
}
trap remove EXIT

step "Starting the kind cluster" kind create cluster --name "$name" --kubeconfig "$work/kubeconfig" --wait 3m
archives=$(bash images/build.sh)
while read -r archive; do
    kind load image-archive --name "$name" "$archive"
done <<<"$archives"

# Pods reach this machine by the gateway of kind's network.
gateway=$(docker network inspect kind --format '{{range .IPAM.Config}}{{.Gateway}}{{"\n"}}{{end}}' |
    grep --extended-regexp --max-count 1 '^[0-9.]+$')
weed=$(bash tests/cluster/build.sh weed)
mkdir "$work/s3"
cat >"$work/s3.json" <<JSON
{"identities": [{"name": "tests", "credentials": [{"accessKey": "$access_key", "secretKey": "$secret_key"}],
                 "actions": ["Admin", "Read", "List", "Tagging", "Write"]}]}
JSON
HOME=$work/s3 "$weed" server -dir="$work/s3" -ip="$gateway" -ip.bind="$gateway" -master.volumeSizeLimitMB=256 \
    -master.volumePreallocate=false -volume.max=400 -filer -s3 -s3.port="$port" -s3.config="$work/s3.json" \
    >"$work/s3.log" 2>&1 &
s3=$!
begin=$SECONDS
# A port that answers is not enough: the first writes fail until the volumes are known.
until [[ $("$weed" upload -master="$gateway:9333" README.md 2>/dev/null) == *'"fid"'* ]] &&
    bash -c "exec 3<>/dev/tcp/$gateway/$port" 2>/dev/null; do
    if ! kill -0 "$s3" 2>/dev/null || ((SECONDS - begin > 60)); then
        say "no S3 server on $gateway:$port; the last lines of its log:"
        tail -n 20 "$work/s3.log" >&2
        exit 1
    fi
    sleep 0.5
done
"$weed" shell -master="$gateway:9333" <<<"s3.bucket.create -name $bucket" >&2

export KUBECONFIG=$work/kubeconfig IMAGES=docker.io/medtrain MEDTRAIN_E2E_BUCKET=$bucket
export AWS_ENDPOINT_URL=http://$gateway:$port AWS_ACCESS_KEY_ID=$access_key AWS_SECRET_ACCESS_KEY=$secret_key
export AWS_REGION=us-east-1 AWS_ALLOW_HTTP=true
bash tests/e2e/run.sh "$@"
