#!/usr/bin/env bash
# chat-templates.sh: gets the published chat templates that TRL's package holds and prints their directory.
# The package is checked against its sha256 and only unpacked: none of its code runs.
source "$(dirname "${BASH_SOURCE[0]}")/prelude.sh"

requirements=$tools/requirements-templates.txt
directory=$cache/tools/chat-templates-$(sha256sum "$requirements" | cut -c1-12)
if [[ ! -d $directory ]]; then
    mkdir -p "$cache/tools"
    fetched=$(mktemp -d "$cache/tools/chat-templates.XXXXXX")
    trap 'rm -rf "$fetched"' EXIT
    say "Fetching chat templates: 1 MB from the Python package index"
    pinned_pip download --requirement "$requirements" --dest "$fetched"
    python3 -m zipfile -e "$fetched"/trl-*.whl "$fetched"
    mv -T "$fetched/trl/chat_templates" "$directory"
fi
printf '%s\n' "$directory"
