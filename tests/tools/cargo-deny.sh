#!/usr/bin/env bash
# cargo-deny.sh ARGUMENTS…: runs a pinned cargo-deny, built once from its source.
source "$(dirname "${BASH_SOURCE[0]}")/prelude.sh"

version=0.20.2
installed=$cache/tools/cargo-deny-$version
if [[ ! -x $installed/bin/cargo-deny ]]; then
    # Without CARGO_TARGET_DIR, so that its build does not stay among ours.
    step "Building cargo-deny $version (once: about 3 minutes on 2 cores)" \
        env --unset=CARGO_TARGET_DIR cargo install cargo-deny --quiet --locked --version "$version" --root "$installed"
fi
exec "$installed/bin/cargo-deny" --locked "$@"
