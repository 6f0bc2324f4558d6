#!/usr/bin/env bash
# `make e2e`: the end-to-end tests, on a cluster of our own (tests/cluster) or on the one that KUBECONFIG names.
# On our own: everything is built, started and, afterwards, removed; KEEP=1 leaves the cluster (`make cluster-down`).
# On another, which must have no MedTrain: IMAGES is the registry and path that its nodes pull operator and trainer from, as
# `make images` made them; AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and MEDTRAIN_E2E_BUCKET
# name an S3 server that its pods and this machine reach.
# Arguments go to the test programs: a part of a test's name runs only those.
# MEDTRAIN_E2E_LAST names a file that is made when the last program begins, whose tests run one at a time and mostly wait.
source "$(dirname "${BASH_SOURCE[0]}")/../cluster/cluster.sh"

# Sets `store`, `lease`, `scenarios` and `serial`, the programs that hold the tests. Built outside of the cluster's network, which
# leads nowhere.
build_tests() {
    store=$(test_program medtrain-trainer store)
    lease=$(test_program medtrain-operator lease)
    scenarios=$(test_program medtrain-e2e scenarios)
    serial=$(test_program medtrain-e2e serial)
}

# run_tests COMMAND…: by `COMMAND… PROGRAM`. Those of `serial` need the cluster for themselves.
run_tests() {
    local failed=0
    MEDTRAIN_TEST_STORE=s3://$MEDTRAIN_E2E_BUCKET/promises "$@" "$store" "${arguments[@]}" || failed=1
    "$@" "$lease" --test-threads=4 "${arguments[@]}" || failed=1
    "$@" "$scenarios" --test-threads=4 "${arguments[@]}" || failed=1
    if [[ -n ${MEDTRAIN_E2E_LAST:-} ]]; then
        touch "$MEDTRAIN_E2E_LAST"
    fi
    "$@" "$serial" --test-threads=1 "${arguments[@]}" || failed=1
    return "$failed"
}

arguments=("$@")
export RUST_BACKTRACE=0
export MEDTRAIN_E2E_BUCKET=${MEDTRAIN_E2E_BUCKET:-medtrain-e2e}

version=$(awk -F '"' '/^version = / { print $2; exit }' Cargo.toml)

# install_operator COMMAND…: by `COMMAND… helm`, like a user but for shorter times, so that tests of lost nodes, deadlines,
# progress and retries take seconds. From then on, MedicalTrainings are reconciled.
# shellcheck disable=SC2329 # by step
install_operator() {
    local values=(
        operator.lostNodeAfterSeconds=15 operator.progressIntervalSeconds=2 operator.pendingDeadlineSeconds=60
        "operator.extraArgs={--backoff-seconds=2,--max-disruptions=3}"
    )
    if [[ -n ${images[*]:-} ]]; then
        # On a cluster that was kept, another image under the same tag has to start pods anew.
        values+=("podAnnotations.image=$(cat "${images[@]}" | sha256sum | cut -c1-12)")
    fi
    if [[ -n ${IMAGES:-} ]]; then
        values+=("image.repository=$IMAGES/operator" "trainerImage.repository=$IMAGES/trainer")
    fi
    "$@" upgrade --install medtrain charts/medtrain --namespace medtrain-system --create-namespace --wait --timeout 3m \
        "${values[@]/#/--set=}" >/dev/null
}

# Sets MEDTRAIN_E2E_MEDTRAIN to the program that runs on this machine are made with, and the model that it imported.
prepare_runs() {
    if [[ -z ${TRAINER_BINARY:-} ]]; then
        build_medtrain
        TRAINER_BINARY=$medtrain
    fi
    export TRAINER_BINARY MEDTRAIN_E2E_MEDTRAIN=$TRAINER_BINARY
    MEDTRAIN_SMOLLM2=${MEDTRAIN_SMOLLM2:-$(bash tests/tools/model.sh "$TRAINER_BINARY")}
    export MEDTRAIN_SMOLLM2
}

if [[ -n ${KUBECONFIG:-} ]]; then
    say "Tests of the host (modules host) are skipped: the cluster of $KUBECONFIG is not ours"
    export MEDTRAIN_E2E_TRAINER_IMAGE=${IMAGES:?is the registry and path of the images for a cluster that is not ours}/trainer:$version
    prepare_runs
    build_tests
    step "Installing the operator" install_operator "$(bash "$here/build.sh" helm)"
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

if [[ -z ${KEEP:-} ]]; then
    trap 'bash "$here/down.sh" "$name"' EXIT
fi
# A cluster that starts leaves the processors idle for a while.
(build_tests) &
bash "$here/up.sh" "$name" >/dev/null
wait "$!"
prepare_runs
archives=$(bash images/build.sh)
mapfile -t images <<<"$archives"
bash "$here/load.sh" "$name" "${images[@]}"
settings=$(bash "$here/s3.sh" "$name" "$MEDTRAIN_E2E_BUCKET")
while read -r setting; do
    export "${setting?}"
done <<<"$settings"
export KUBECONFIG=$kubeconfig MEDTRAIN_E2E_STATE=$state MEDTRAIN_E2E_TRAINER_IMAGE=docker.io/medtrain/trainer:$version
step "Installing the operator" install_operator bash "$here/enter.sh" "$name" helm
MEDTRAIN_E2E_PROMETHEUS=$(bash tests/chart/live/start.sh "$name" medtrain medtrain-system)
export MEDTRAIN_E2E_PROMETHEUS

build_tests
failed=0
run_tests "${inside[@]}" || failed=1
# Only all scenarios leave every number behind.
if ((${#arguments[@]} == 0)); then
    step "Dashboard and alerts on what was scraped" bash tests/chart/live/run.sh "$name" || failed=1
fi
exit "$failed"
