#!/usr/bin/env bash
# `make chart`: what in the chart is made from other files. tests/chart/run.sh says when it is not current.
source "$(dirname "${BASH_SOURCE[0]}")/../tools/prelude.sh"

generated=crds/generated/medicaltrainings.yaml
if [[ -f $generated ]]; then
    cp "$generated" charts/medtrain/files/
fi
python3 tests/chart/readme.py
