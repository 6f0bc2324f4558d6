"""Reads a folder of event files with the `tensorboard` package and prints what it understood, as JSON.

    pip install tensorboard "setuptools<81"
    python tests/parity/tensorboard_check.py RUNS_FOLDER

Exits with 1 when the package finds no scalar or no text: then a person would see an empty dashboard.
"""

import json
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util


def read(folder):
    events = EventAccumulator(folder, size_guidance={"scalars": 0, "tensors": 0}).Reload()
    tags = events.Tags()
    scalars = {tag: [[e.step, e.value] for e in events.Scalars(tag)] for tag in sorted(tags["scalars"])}
    texts = {}
    for tag in sorted(tags["tensors"]):
        if events.SummaryMetadata(tag).plugin_data.plugin_name == "text":
            texts[tag] = [
                [e.step, tensor_util.make_ndarray(e.tensor_proto).tolist()[0].decode("utf-8")] for e in events.Tensors(tag)
            ]
    return {"scalars": scalars, "texts": texts}


if __name__ == "__main__":
    found = read(sys.argv[1])
    print(json.dumps(found, indent=2, sort_keys=True, ensure_ascii=False))
    sys.exit(0 if found["scalars"] and found["texts"] else 1)
