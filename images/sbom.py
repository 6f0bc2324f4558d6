#!/usr/bin/env python3
"""sbom.py IMAGE VERSION CREATED PACKAGES WHEELS < CRATES: an SPDX 2.3 document (JSON) of what an image holds.

PACKAGES is the file that root.sh writes (name, version, architecture, sha256 a line), WHEELS that of cuda.sh (name,
version, sha256; empty without CUDA); standard input is the output of `cargo tree --prefix none --format '{p}|{l}'`: the
crates linked into the program. CREATED is an RFC 3339 time. The checksums of
crates come from Cargo.lock. The same input gives the same document.
"""

import hashlib
import json
import re
import sys
import tomllib
from pathlib import Path

# NVIDIA's agreement for the CUDA toolkit has no SPDX name.
CUDA = "LicenseRef-NVIDIA-CUDA"
CUDA_TEXT = "The image has it as /usr/share/doc/nvidia-cuda/copyright."


def debian(line):
    name, version, architecture, sha256 = line.split()
    return {
        "name": name,
        "SPDXID": f"SPDXRef-deb-{name}",
        "versionInfo": version,
        "downloadLocation": "NOASSERTION",
        "checksums": [{"algorithm": "SHA256", "checksumValue": sha256}],
        "externalRefs": [purl(f"pkg:deb/debian/{name}@{version}?arch={architecture}")],
    }


def wheel(line):
    name, version, sha256 = line.split()
    return {
        "name": name,
        "SPDXID": f"SPDXRef-wheel-{name}",
        "versionInfo": version,
        "downloadLocation": "NOASSERTION",
        "licenseDeclared": CUDA,
        "checksums": [{"algorithm": "SHA256", "checksumValue": sha256}],
        "externalRefs": [purl(f"pkg:pypi/{name}@{version}")],
    }


def crate(name, version, licence, checksums):
    package = {
        "name": name,
        "SPDXID": "SPDXRef-crate-" + re.sub(r"[^A-Za-z0-9.-]", "-", f"{name}-{version}"),
        "versionInfo": version,
        "downloadLocation": "NOASSERTION",
        "licenseDeclared": licence.replace("/", " OR ") or "NOASSERTION",
        "externalRefs": [purl(f"pkg:cargo/{name}@{version}")],
    }
    if checksum := checksums.get((name, version)):
        package["checksums"] = [{"algorithm": "SHA256", "checksumValue": checksum}]
    return package


def purl(locator):
    return {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": locator}


def main(image, version, created, packages, wheels, crates):
    lock = tomllib.loads((Path(__file__).parent.parent / "Cargo.lock").read_text())
    checksums = {(p["name"], p["version"]): p.get("checksum") for p in lock["package"]}
    held = [debian(line) for line in Path(packages).read_text().splitlines()]
    toolkit = [wheel(line) for line in Path(wheels).read_text().splitlines()]
    held += toolkit
    # A crate that was listed before is marked " (*)"; a procedural macro " (proc-macro)"; ours have their path.
    linked = set()
    for line in crates:
        crate_id, _, licence = line.strip().removesuffix("(*)").strip().partition("|")
        name, number = crate_id.split()[:2]
        linked.add((name, number.removeprefix("v"), licence.strip()))
    held += [crate(*one, checksums) for one in sorted(linked)]
    whole = {
        "name": image,
        "SPDXID": "SPDXRef-image",
        "versionInfo": version,
        "downloadLocation": "NOASSERTION",
        "licenseDeclared": f"Apache-2.0 AND {CUDA}" if toolkit else "Apache-2.0",
    }
    document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"{image}:{version}",
        "creationInfo": {"created": created, "creators": ["Tool: medtrain images/sbom.py"]},
        "packages": [whole, *held],
        "relationships": [
            {"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": "SPDXRef-image"},
            *(
                {"spdxElementId": "SPDXRef-image", "relationshipType": "CONTAINS", "relatedSpdxElement": p["SPDXID"]}
                for p in held
            ),
        ],
    }
    if toolkit:
        document["hasExtractedLicensingInfos"] = [{"licenseId": CUDA, "extractedText": CUDA_TEXT}]
    content = hashlib.sha256(json.dumps(document).encode()).hexdigest()
    document["documentNamespace"] = f"https://medtrain.io/spdx/{image}/{version}/{content}"
    json.dump(document, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    if len(sys.argv) != 6:
        sys.exit(__doc__)
    main(*sys.argv[1:], sys.stdin)
