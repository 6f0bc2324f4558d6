#!/usr/bin/env bash
# `make test`: every test, the slow ones on the real model included, and `make lint`.
# All suites run even if one fails; the last line counts the tests of all of them.
source "$(dirname "${BASH_SOURCE[0]}")/prelude.sh"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
logs=$scratch/logs
mkdir "$logs"
touch "$scratch/failed"

# suite TITLE COMMAND…: runs it, keeps its output for counting, and goes on if it fails.
suite() {
    if ! step "$@" 2>&1 | tee "$logs/$1"; then
        printf ', %s' "$1" >>"$scratch/failed"
    fi
}

# What runs beside the end-to-end tests that mostly wait for their cluster.
others() {
    until [[ -e $scratch/waits ]]; do
        sleep 1
        # Interrupted: that ended the script, and not what it runs beside.
        [[ -d $scratch ]] || return 0
    done
    suite "Scale tests" bash tests/scale/run.sh 50
    suite "Chart tests on a cluster" bash tests/chart/cluster/run.sh
    suite "Image tests" python3 -m unittest discover --start-directory images
    suite "Lint" bash "$tools/lint.sh"
}

bash "$tools/prerequisites.sh"
step "Format" cargo fmt --all --check
step "Building medtrain (the first time: about 9 minutes on 2 cores)" build_medtrain
MEDTRAIN_SMOLLM2=$(bash "$tools/model.sh" "$medtrain")
MEDTRAIN_CHAT_TEMPLATES=$(bash "$tools/chat-templates.sh")
export MEDTRAIN_SMOLLM2 MEDTRAIN_CHAT_TEMPLATES PYTHONDONTWRITEBYTECODE=1

suite "Rust tests" cargo test --release --locked --workspace --exclude medtrain-e2e --no-fail-fast
suite "Sample data tests" python3 -m unittest discover --start-directory tests/data/make
others >"$scratch/others" 2>&1 &
MEDTRAIN_E2E_LAST=$scratch/waits suite "End-to-end tests" bash tests/e2e/run.sh
touch "$scratch/waits"
wait
cat "$scratch/others"
if [[ -e $(vulkan_marker) ]]; then
    suite "Tests on software Vulkan" bash "$tools/test-vulkan.sh"
else
    say "Left out, since not built here: what GPUs run, on software Vulkan (\`make test-vulkan\` builds it)"
fi
suite "Tool tests" python3 -m unittest discover --start-directory tests/tools
suite "Parity tool tests" python3 -m unittest discover --start-directory tests/parity
suite "Bench tests" python3 -m unittest discover --start-directory tests/bench
suite "Chart tests" bash tests/chart/run.sh

failed=$(cat "$scratch/failed")
if [[ -n $failed ]]; then
    say "failed: ${failed:2}"
fi
# Closing lines read: cargo's `test result:`, unittest's `Ran N tests` with `OK (…)` or `FAILED (failures=…)`.
cat "$logs"/* | awk '
    function number_after(word) { return match($0, word "=[0-9]+") ? substr($0, RSTART + length(word) + 1, RLENGTH) + 0 : 0 }
    /^test result: / { passed += $4; failed += $6; skipped += $8 }
    /^Ran [0-9]+ tests? in / { passed += $2 }
    /^(OK|FAILED)( \(|$)/ {
        bad = number_after("failures") + number_after("errors")
        passed -= bad + number_after("skipped"); failed += bad; skipped += number_after("skipped")
    }
    END { printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped }'
[[ -z $failed ]]
