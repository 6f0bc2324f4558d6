#!/usr/bin/env bash
# `make parity`: makes every fixture anew with the reference implementations, holds the trainer to them, lets transformers
# and peft load what it trains, and prints one table: quantity, ours, theirs, difference, tolerance.
#   --seed N     other random weights, prompts and gradients than those of the committed fixtures
# PARITY_PYTHON=…/bin/python takes that interpreter, which has the packages of requirements.txt, instead of making one.
# The committed fixtures are not touched.
# shellcheck source=../tools/prelude.sh
source "$(dirname "${BASH_SOURCE[0]}")/../tools/prelude.sh"
parity=$root/tests/parity

if [[ ${1:-} == --seed && ${2:-} =~ ^[0-9]+$ && $# == 2 ]]; then
    export PARITY_SEED=$2
elif (($# > 0)); then
    say "usage: tests/parity/run.sh [--seed N], not \"$*\""
    exit 64
fi

# environment_over NAME REQUIREMENTS INTERPRETER: a kept environment with these packages and what they need, over the
# interpreter's own, which torch is taken from; prints its interpreter.
environment_over() {
    local directory
    directory=$(kept "$1" "$2" make_environment_over "$2" "$3") && printf '%s\n' "$directory/bin/python"
}
# shellcheck disable=SC2329 # by kept
make_environment_over() {
    local listed site='import sysconfig; print(sysconfig.get_path("purelib"))' status=0
    "$2" -m venv "$3" || return
    "$2" -c "$site" >"$("$3/bin/python" -c "$site")/base.pth"
    listed=$(mktemp)
    grep --invert-match '^torch==' "$1" >"$listed"
    pip_of "$3/bin/python" install --requirement "$listed" || status=$?
    rm -f "$listed"
    return "$status"
}

bash "$tools/prerequisites.sh"
step "Building medtrain (the first time: about 9 minutes on 2 cores)" build_medtrain
model=$(bash "$tools/model.sh" "$medtrain")
templates=$(bash "$tools/chat-templates.sh")
python=${PARITY_PYTHON:-$(virtual_environment parity-venv "$parity/requirements.txt")}
trl04=$(environment_over parity-trl04 "$parity/requirements-trl04.txt" "$python")
trl024=$(environment_over parity-trl024 "$parity/requirements-trl024.txt" "$python")

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# Where scripts find the rest of the repository by their own place.
fresh=$scratch/tests/parity
mkdir "$scratch/tests"
cp -r "$parity" "$fresh"
ln -s "$root/trainer" "$scratch/trainer"
notes=$scratch/notes.jsonl
failed=0
export PYTHONDONTWRITEBYTECODE=1 HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false

# made SCRIPT ARGUMENTS…: runs it where it writes beside itself.
made() {
    step "$1" "$python" "$fresh/$1" "${@:2}" >"$scratch/said" || {
        cat "$scratch/said" >&2
        failed=1
    }
}
for script in model lora vocabulary peft optim trajectory sampling generation ppo gguf; do
    made "${script}_fixtures.py"
done
gguf=$cache/models/SmolLM2-135M-Instruct.Q4_1.gguf
made smollm2_fixture.py "$gguf"
made tokenizer_fixtures.py --smollm2 "$gguf"
made stop_fixtures.py --smollm2 "$model"
made template_fixtures.py --published "$templates" --smollm2 "$model"
python=$trl04 made ppo_trl_fixtures.py
python=$trl04 made ppo_loop_fixtures.py
python=$trl024 made ppo_loop_fixtures.py

export MEDTRAIN_SMOLLM2=$model MEDTRAIN_CHAT_TEMPLATES=$templates
MEDTRAIN_PARITY=$fresh MEDTRAIN_PARITY_NOTES=$notes step "Ours against them" \
    cargo test --release --locked --quiet -p medtrain-trainer --lib >&2 || failed=1

# The other direction: what the trainer writes, in the libraries that people load it with.
out=$scratch/out
few=(--set=stages.ppo.ppo.totalEpisodes=16 --set=stages.ppo.ppo.maxNewTokens=8 --set=stages.ppo.ppo.numPpoEpochs=2)
# The first stage grows the vocabulary: transformers and peft have to open that, too.
few+=('--set=stages.pt.vocabulary.addTokens=["electrocardiogram", "angina pectoris"]')
for stage in pt sft rm; do
    few+=("--set=stages.$stage.train.maxSteps=2" "--set=stages.$stage.train.maxEvalSamples=4")
done
step "Four stages of two steps on SmolLM2" "$medtrain" run crds/examples/demo.yaml "--set=model.uri=$model" \
    "--set=output.uri=$out" "${few[@]}" >&2
ids="[$("$python" -c 'print(*[[(7 * i * i + 31 * i) % 49000 + 20 for i in range(n)] for n in (24, 19, 14)], sep=", ")')]"
base=$model
for stage in pt sft rm ppo; do
    artifact=$(echo "$out/stages/$stage-"*/attempt-*)
    "$medtrain" logits --ids "$ids" --model "$base" --adapter "$artifact/adapter" >"$scratch/adapter.json"
    "$medtrain" logits --ids "$ids" --model "$artifact/merged" --name merged >"$scratch/merged.json"
    step "Adapter and merged model of $stage in transformers and peft" "$python" "$fresh/check_artifacts.py" \
        --base "$base" --adapter "$artifact/adapter" --merged "$artifact/merged" --runs "$artifact/runs" \
        --ours "$scratch/adapter.json" --ours "$scratch/merged.json" --name "$stage" --notes "$notes" \
        >"$scratch/said" || {
        cat "$scratch/said" >&2
        failed=1
    }
    # The policy is trained on what the second stage made; the reward model comes from it, too.
    [[ $stage == rm ]] || base=$artifact/merged
done

python3 "$parity/table.py" "$notes" || failed=1
exit "$failed"
