#!/usr/bin/env python3
"""What the program is made of, as CycloneDX: crates, the wheels that libtorch comes from, and Debian's packages.

    make sbom
    sbom.py --out FILE [--packages FOLDER]       FOLDER: entries of dpkg's database, for an image

The crates by cargo-cyclonedx, which must be on the path, from Cargo.lock alone: build dependencies and those of tests are
not in the program and not in the list. The wheels by what `deploy/libtorch/fetch.py` pins; it alone knows them. Which
libraries libtorch itself was compiled with, its NOTICE says. Needs Python 3.8.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, Optional
from urllib.parse import quote

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "deploy" / "libtorch"))
sys.dont_write_bytecode = True

from fetch import WHEELS, Wheel  # noqa: E402

TARGET = "x86_64-unknown-linux-gnu"
# What cargo-cyclonedx calls its result, beside Cargo.toml.
CRATES = ROOT / "souk_bin.cdx.json"
# By the beginning of a wheel's name.
LICENSES = {
    "torch": {"license": {"id": "BSD-3-Clause"}},
    "nvidia": {"license": {"name": "NVIDIA CUDA Toolkit End User License Agreement"}},
}


def crates() -> Dict:
    """The program and its crates."""
    command = ["cargo", "cyclonedx", "--quiet", "--format", "json", "--spec-version", "1.5", "--target", TARGET]
    subprocess.run([*command, "--describe", "binaries", "--no-build-deps"], cwd=ROOT, check=True)
    try:
        text = CRATES.read_text("utf-8")
    finally:
        CRATES.unlink()
    # Where the sources lay is nobody's concern.
    return json.loads(text.replace(f"path+file://{ROOT}#", "").replace("?download_url=file://.#src/main.rs", ""))


def wheel(wheel: Wheel) -> Dict:
    purl = f"pkg:pypi/{wheel.name}@{wheel.version}"
    return {
        "type": "library",
        "bom-ref": purl,
        "name": wheel.name,
        "version": wheel.version,
        "scope": "required",
        # Of the wheel; the image has a part of its files.
        "hashes": [{"alg": "SHA-256", "content": wheel.sha256}],
        "licenses": [LICENSES[wheel.name.split("-")[0]]],
        "purl": purl,
    }


def package(entry: Path) -> Dict:
    """A package of Debian, of which dpkg says this."""
    fields = dict(line.split(": ", 1) for line in entry.read_text("utf-8").splitlines() if ": " in line and line[0] != " ")
    name, version, machine = fields["Package"], fields["Version"], fields["Architecture"]
    purl = f"pkg:deb/debian/{quote(name)}@{quote(version)}?arch={machine}&distro=debian-12"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "scope": "required", "purl": purl}


def complete(bom: Dict, more: List[Dict]) -> Dict:
    """Adds what cargo knows nothing of, as dependencies of the program."""
    program = bom["metadata"]["component"]["bom-ref"]
    bom["components"] += more
    for dependencies in bom["dependencies"]:
        if dependencies["ref"] == program:
            dependencies["dependsOn"] += [component["bom-ref"] for component in more]
    bom["dependencies"] += [{"ref": component["bom-ref"]} for component in more]
    return bom


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--packages", type=Path, help="a folder with entries of dpkg's database")
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    arguments = parser.parse_args()
    entries: Optional[Path] = arguments.packages
    packages = [package(entry) for entry in sorted(entries.iterdir())] if entries else []
    bom = complete(crates(), [wheel(part) for part in WHEELS] + packages)
    arguments.out.write_text(json.dumps(bom, indent=1) + "\n", "utf-8")
    print(f"sbom: {len(bom['components'])} components in {arguments.out}")


if __name__ == "__main__":
    main()
