#!/usr/bin/env bash
# `make e2e`: the end-to-end tests, on a cluster of our own (tests/cluster) or on the one that KUBECONFIG names.
# On our own: everything is built, started and, afterwards, removed; KEEP=1 leaves the cluster (`make cluster-down`).
# On another: its nodes must have the image TRAINER_IMAGE, and the variables AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID,
# AWS_SECRET_ACCESS_KEY, AWS_REGION, MEDTRAIN_E2E_BUCKET name an S3 server that its pods and this machine reach.
# Arguments go to the test programs: a part of a test's name runs only those.
source "$(dirname "${BASH_SOURCE[0]}")/../cluster/cluster.sh"

# Sets `programs` to those that hold the tests; built outside of the cluster's network, which leads nowhere.
build_tests() {
    local found
    found=$(cargo test --quiet --release --locked -p medtrain-e2e --no-run --message-format json | python3 -c 'import json, sys
for line in sys.stdin:
    made = json.loads(line)
    if made.get("executable") and "test" in made["target"]["kind"]:
        print(made["executable"])')
    mapfile -t programs <<<"$found"
}

# Programs whose name begins with `serial` stop parts of the cluster or the operator: one test at a time, after all others.
run_tests() {
    local program failed=0 serial=()
    for program in "${programs[@]}"; do
        if [[ ${program##*/} == serial* ]]; then
            serial+=("$program")
        else
            "$@" "$program" --ignored --test-threads=4 "${arguments[@]}" || failed=1
        fi
    done
    for program in "${serial[@]}"; do
        "$@" "$program" --ignored --test-threads=1 "${arguments[@]}" || failed=1
    done
    return "$failed"
}

arguments=("$@")
export RUST_BACKTRACE=0
export MEDTRAIN_E2E_BUCKET=${MEDTRAIN_E2E_BUCKET:-medtrain-e2e}

if [[ -n ${KUBECONFIG:-} ]]; then
    say "Tests of the host (module host) are skipped: the cluster of $KUBECONFIG is not ours"
    build_medtrain
    export MEDTRAIN_E2E_MEDTRAIN=$medtrain MEDTRAIN_E2E_TRAINER_IMAGE=${TRAINER_IMAGE:?names the trainer image for a cluster that is not ours}
    MEDTRAIN_SMOLLM2=${MEDTRAIN_SMOLLM2:-$(bash tests/tools/model.sh "$medtrain")}
    export MEDTRAIN_SMOLLM2
    build_tests
    arguments+=(--skip host::)
    run_tests env
    exit
fi

cluster "${CLUSTER:-e2e}"
reason=$(obstacle)
if [[ -n $reason ]]; then
    say "End-to-end tests are skipped: $reason (or give the KUBECONFIG of another cluster)"
    exit
fi

bash "$here/up.sh" "$name" >/dev/null
if [[ -z ${KEEP:-} ]]; then
    trap 'bash "$here/down.sh" "$name"' EXIT
fi
if [[ -z ${TRAINER_BINARY:-} ]]; then
    build_medtrain
    TRAINER_BINARY=$medtrain
fi
export TRAINER_BINARY MEDTRAIN_E2E_MEDTRAIN=$TRAINER_BINARY
archives=$(bash images/build.sh)
mapfile -t images <<<"$archives"
bash "$here/load.sh" "$name" "${images[@]}"
settings=$(bash "$here/s3.sh" "$name" "$MEDTRAIN_E2E_BUCKET")
while read -r setting; do
    export "${setting?}"
done <<<"$settings"
version=$(awk -F '"' '/^version = / { print $2; exit }' Cargo.toml)
export KUBECONFIG=$kubeconfig MEDTRAIN_E2E_STATE=$state MEDTRAIN_E2E_TRAINER_IMAGE=docker.io/medtrain/trainer:$version

if [[ -d charts/medtrain && -f operator/Cargo.toml ]]; then
    # Like a user's but for shorter times, so that tests of lost nodes, deadlines, progress and retries take seconds.
    # From this release on, MedicalTrainings are reconciled.
    step "Installing the operator" bash "$here/enter.sh" "$name" helm upgrade --install medtrain charts/medtrain \
        --namespace medtrain-system --create-namespace --wait --timeout 3m \
        --set operator.lostNodeAfterSeconds=15 --set operator.progressIntervalSeconds=2 --set operator.pendingDeadlineSeconds=60 --set 'operator.extraArgs={--backoff-seconds=2,--max-disruptions=3}' >/dev/null
else
    say "No operator on this cluster: the workspace has no charts/medtrain or no operator/"
fi

MEDTRAIN_SMOLLM2=${MEDTRAIN_SMOLLM2:-$(bash tests/tools/model.sh "$MEDTRAIN_E2E_MEDTRAIN")}
export MEDTRAIN_SMOLLM2
build_tests
run_tests "${inside[@]}"
