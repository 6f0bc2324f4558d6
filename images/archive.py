#!/usr/bin/env python3
"""archive.py LAYOUT NAME ARCHIVE: packs an OCI image layout as an archive that containerd imports under NAME.

Prints the image's digest (that of its manifest). The archive is a function of the layout and the name.
"""

import io
import json
import sys
import tarfile
from pathlib import Path


def main(layout, name, archive):
    layout = Path(layout)
    index = json.loads((layout / "index.json").read_text())
    (image,) = index["manifests"]
    image["annotations"] = {
        "io.containerd.image.name": name,
        "org.opencontainers.image.ref.name": name.rpartition(":")[2],
    }
    files = {"oci-layout": (layout / "oci-layout").read_bytes(), "index.json": json.dumps(index).encode()}
    with tarfile.open(archive, "w") as out:
        for path, content in files.items():
            info = tarfile.TarInfo(path)
            info.size = len(content)
            out.addfile(info, io.BytesIO(content))
        for path in sorted((layout / "blobs" / "sha256").iterdir()):
            info = tarfile.TarInfo(f"blobs/sha256/{path.name}")
            info.size = path.stat().st_size
            with path.open("rb") as blob:
                out.addfile(info, blob)
    print(image["digest"])


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
