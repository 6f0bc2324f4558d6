"""Builds each image twice, as `make images` does, and looks at what came out."""

import json
import os
import subprocess
import tarfile
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Bytes that an image may take once unpacked.
LIMITS = {"trainer": 60_000_000, "operator": 40_000_000}


def obstacle():
    """Why images can't be built here; None if they can."""
    if os.getuid() != 0 and subprocess.run(["docker", "info"], capture_output=True).returncode != 0:
        return "images need root (buildah) or a Docker engine"
    return None


def build(image, directory):
    command = ["bash", str(ROOT / "images" / "build.sh"), image]
    built = subprocess.run(command, env={**os.environ, "IMAGES_DIR": directory}, stdout=subprocess.PIPE, text=True, check=True)
    return Path(built.stdout.strip()) if built.stdout.strip() else None


class Image:
    def __init__(self, archive):
        self.archive = archive
        with tarfile.open(archive) as tar:
            read = lambda name: tar.extractfile(name).read()
            blob = lambda descriptor: read("blobs/sha256/" + descriptor["digest"].removeprefix("sha256:"))
            self.index = json.loads(read("index.json"))
            self.manifest = json.loads(blob(self.index["manifests"][0]))
            self.config = json.loads(blob(self.manifest["config"]))
            self.files = {}
            for layer in self.manifest["layers"]:
                with tarfile.open(fileobj=tar.extractfile("blobs/sha256/" + layer["digest"].removeprefix("sha256:"))) as files:
                    self.files.update({member.name.removeprefix("./"): member for member in files})
        self.sbom = json.loads(Path(f"{archive}.spdx.json").read_text())


@unittest.skipIf(obstacle(), obstacle())
class ImagesTest(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)

    def check(self, name, program):
        directories = [str(Path(self.directory.name) / part) for part in ("one", "two")]
        archives = [build(name, directory) for directory in directories]
        if archives[0] is None:
            self.skipTest(f"the workspace has no {name}")
        one, two = archives
        with self.subTest("the same inputs give the same bytes"):
            self.assertEqual(one.read_bytes(), two.read_bytes())
        image = Image(one)
        with self.subTest("small"):
            self.assertLess(sum(member.size for member in image.files.values()), LIMITS[name])
        with self.subTest("runs the program, not as root"):
            self.assertEqual(image.config["config"]["Entrypoint"], ["/" + program])
            self.assertEqual(image.config["config"]["User"], "65532:65532")
            self.assertEqual(image.files[program].mode & 0o111, 0o111)
        with self.subTest("labels"):
            labels = image.config["config"]["Labels"]
            for label in ("title", "version", "revision", "licenses", "created"):
                self.assertTrue(labels[f"org.opencontainers.image.{label}"], label)
        with self.subTest("trusts public authorities, has no shell"):
            self.assertIn("etc/ssl/certs/ca-certificates.crt", image.files)
            self.assertFalse([path for path in image.files if path.endswith(("/sh", "/bash", "/apt"))])
        with self.subTest("the SBOM names its parts, each once"):
            parts = [package["SPDXID"] for package in image.sbom["packages"]]
            self.assertEqual(len(parts), len(set(parts)))
            self.assertIn("SPDXRef-deb-libc6", parts)
            self.assertTrue([part for part in parts if part.startswith("SPDXRef-crate-serde-1")])
            self.assertEqual(len(image.sbom["relationships"]), len(parts))

    def test_trainer(self):
        self.check("trainer", "medtrain")

    def test_operator(self):
        self.check("operator", "medtrain-operator")


if __name__ == "__main__":
    unittest.main()
