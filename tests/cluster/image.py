#!/usr/bin/env python3
"""image.py NAME DIRECTORY ARCHIVE ENTRYPOINT…: packs a directory as an OCI image of one layer.

For test images that need no engine. The archive is a function of the directory's content, modes and the arguments:
owners are root, times are zero, entries are sorted.
"""

import hashlib
import io
import json
import platform
import sys
import tarfile
from pathlib import Path

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def layer_of(directory):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as layer:
        for path in sorted(Path(directory).rglob("*")):
            info = layer.gettarinfo(path, arcname=str(path.relative_to(directory)))
            info.uid = info.gid = info.mtime = 0
            info.uname = info.gname = "root"
            with path.open("rb") if info.isfile() else io.BytesIO() as content:
                layer.addfile(info, content)
    return buffer.getvalue()


def main(name, directory, archive, *entrypoint):
    blobs = {}

    def blob(media_type, content):
        digest = hashlib.sha256(content).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = content
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    target = {"architecture": ARCHITECTURES[platform.machine()], "os": "linux"}
    layer = blob("application/vnd.oci.image.layer.v1.tar", layer_of(directory))
    rootfs = {"type": "layers", "diff_ids": [layer["digest"]]}
    config = json.dumps({**target, "config": {"Entrypoint": entrypoint}, "rootfs": rootfs}).encode()
    config = blob("application/vnd.oci.image.config.v1+json", config)
    kind = "application/vnd.oci.image.manifest.v1+json"
    manifest = {"schemaVersion": 2, "mediaType": kind, "config": config, "layers": [layer]}
    annotations = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name.rpartition(":")[2]}
    entry = {**blob(kind, json.dumps(manifest).encode()), "annotations": annotations, "platform": target}
    index = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()

    files = {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}', "index.json": index, **blobs}
    with tarfile.open(archive, "w") as out:
        for path, content in files.items():
            info = tarfile.TarInfo(path)
            info.size = len(content)
            out.addfile(info, io.BytesIO(content))


if __name__ == "__main__":
    if len(sys.argv) < 5:
        sys.exit(__doc__)
    main(*sys.argv[1:])
