"""The chart as the tests see it: rendered by helm, read as YAML (a key that is there twice is an error)."""

import functools
import os
import pathlib
import re
import subprocess

from ruamel.yaml import YAML

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "medtrain"
CI = sorted((CHART / "ci").glob("*-values.yaml"))
# helm built from its Go module takes itself for a client of an old Kubernetes.
KUBE_VERSION = "1.34.4"


def helm(*arguments):
    """The finished process of `helm ARGUMENTS…`; its caller judges the exit code."""
    return subprocess.run([os.environ["HELM"], *map(str, arguments)], capture_output=True, text=True, check=False)


def read_yaml(text):
    """All documents of `text` that aren't empty."""
    return [document for document in YAML(typ="safe", pure=True).load_all(text) if document]


def template(*arguments):
    return helm("template", "release", CHART, "--namespace", "system", "--kube-version", KUBE_VERSION, *arguments)


@functools.cache
def render(*arguments):
    """The objects of the release `release` in the namespace `system`. Arguments: `--set`, `--values` and their like."""
    done = template(*arguments)
    if done.returncode != 0:
        raise AssertionError(f"helm template {arguments}: {done.stderr}")
    return read_yaml(done.stdout)


def render_ci(name):
    return render("--values", CHART / "ci" / f"{name}-values.yaml")


def find(objects, kind, name=None):
    """The only object of `kind`, or the one called `name`."""
    found = [o for o in objects if o["kind"] == kind and name in (None, o["metadata"]["name"])]
    if len(found) != 1:
        raise AssertionError(f"{len(found)} objects are {kind} {name or ''}: {[o['metadata']['name'] for o in found]}")
    return found[0]


def constants(path, module=None):
    """Values of the string constants `pub const NAME: &str = "…"` of a Rust file, or of one module in it."""
    text = (ROOT / path).read_text()
    if module is not None:
        text = text.split(f"pub mod {module} {{", 1)[1].split("\n}", 1)[0]
    return set(re.findall(r'pub const \w+: &str =\s*"([^"]+)"', text))
