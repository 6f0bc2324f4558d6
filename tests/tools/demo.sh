#!/usr/bin/env bash
# `make demo`: build, get the model, run crds/examples/demo.yaml. Run again, it goes on where it stopped.
source "$(dirname "${BASH_SOURCE[0]}")/prelude.sh"

bash "$tools/prerequisites.sh"
step "Building medtrain (the first time: about 9 minutes on 2 cores)" build_medtrain
model=$(bash "$tools/model.sh" "$medtrain")

say "Training: four stages, about 15 minutes on 2 cores; Ctrl-C saves a checkpoint, and \`make demo\` again goes on from it"
"$medtrain" run crds/examples/demo.yaml \
    --set "model.uri=$model" --set "output.uri=$root/outputs/demo" --questions tests/data/questions.txt "$@" &
training=$!
# Signals and the exit code are medtrain's own. Ctrl-C reaches it through the terminal; `wait` ends at every signal.
trap : INT
trap 'kill -TERM "$training" 2>/dev/null || true' TERM
while kill -0 "$training" 2>/dev/null; do
    wait "$training" || true
done
# A signal may have ended the last `wait` when medtrain was gone already; bash still knows how it ended.
status=0
wait "$training" || status=$?
((status == 0)) || exit "$status"
python3 "$tools/demo_kl.py" crds/examples/demo.yaml "$root/outputs/demo"
