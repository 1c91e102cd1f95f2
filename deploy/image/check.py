#!/usr/bin/env python3
"""Runs an image as it is meant to be run, and asks it what the README asks.

    make image-check
    check.py --engine docker|podman|buildah --image souk

As the user that the image names, on a root that can't be written, without privileges. It must be no root, hold no shell, be
no larger than MOST_MB, say what it is made of, get ready, answer the README's grpcurl calls, refuse a change of who answers
where that can't be kept and say why, take it where the models are on a volume, and drain. buildah can't run a container on
such a root: there the image is mounted and run by unshare, which needs root. Needs Python 3.10 and grpcurl. What it starts
listens on 127.0.0.1 and is ended with it.
"""

import argparse
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path

README = Path(__file__).resolve().parents[2] / "README.md"
MOST_MB = 700
PATIENCE_S = 60
SBOM = "usr/share/doc/souk/sbom.cdx.json"
MODELS = "srv/souk/models"
# $1: the image's root, bound over itself so that it can be made read-only. $2: a folder in the place of its models, or
# nothing. $3: the user.
LOCKED = f"""
mount --bind "$1" "$1"
[ -z "$2" ] || mount --bind "$2" "$1/{MODELS}"
mkdir -p "$1/proc" "$1/dev"
mount -t proc proc "$1/proc"
mount --bind /dev "$1/dev"
mount -o remount,bind,ro "$1"
root=$1 user=$3
shift 3
exec setpriv --no-new-privs unshare --root="$root" --wd=/srv/souk --setgid="$user" --setuid="$user" "$@"
"""


class Run:
    """An image by docker or podman, which share their command lines."""

    def __init__(self, engine: str, image: str) -> None:
        self.engine, self.image = engine, image
        inspected = json.loads(output(engine, "image", "inspect", image))[0]
        self.bytes, self.user = inspected["Size"], inspected["Config"]["User"]

    def command(self, arguments: list, environment: dict, models: Path | None) -> list:
        settings = [word for pair in environment.items() for word in ("--env", "=".join(pair))]
        volume = ["--volume", f"{models}:/{MODELS}"] if models else []
        locked = ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--network=host"]
        return [self.engine, "run", "--rm", *locked, *settings, *volume, self.image, *arguments]

    def copy(self, path: str, to: Path) -> None:
        container = output(self.engine, "create", self.image).strip()
        try:
            output(self.engine, "export", "--output", f"{to}.tar", container)
            output("tar", "--extract", "--file", f"{to}.tar", "--directory", to, path)
        finally:
            output(self.engine, "rm", container)


class Mounted:
    """An image that buildah mounts."""

    def __init__(self, image: str, started: ExitStack) -> None:
        container = output("buildah", "from", "--pull-never", image).strip()
        started.callback(output, "buildah", "rm", container)
        self.root = Path(output("buildah", "mount", container).strip())
        config = json.loads(output("buildah", "inspect", "--type", "image", image))["OCIv1"]["config"]
        self.user, self.program = config["User"], ["/usr/local/bin/souk"]
        self.environment = dict(pair.split("=", 1) for pair in config["Env"])
        files = (path.lstat() for path in self.root.rglob("*") if not path.is_symlink())
        self.bytes = sum(file.st_size for file in files)

    def command(self, arguments: list, environment: dict, models: Path | None) -> list:
        settings = [f"{name}={value}" for name, value in (self.environment | environment).items()]
        script = ["/bin/bash", "-euc", f"PATH=/usr/sbin:/usr/bin:/sbin:/bin{LOCKED}", "locked", self.root, models or ""]
        user = self.user.split(":")[0]
        return ["env", "-i", *settings, "/usr/bin/unshare", "--mount", *script, user, *self.program, *arguments]

    def copy(self, path: str, to: Path) -> None:
        output("cp", "--recursive", "--parents", path, to, cwd=self.root)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", required=True, choices=["docker", "podman", "buildah"])
    parser.add_argument("--image", default="souk")
    given = parser.parse_args()
    if shutil.which("grpcurl") is None:
        sys.exit("missing: grpcurl\n         go install github.com/fullstorydev/grpcurl/cmd/grpcurl@latest")
    # So that what was started is ended then too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))
    with tempfile.TemporaryDirectory(prefix="souk-image-") as folder, ExitStack() as started:
        image = Mounted(given.image, started) if given.engine == "buildah" else Run(given.engine, given.image)
        check_contents(image, Path(folder))
        check_baked_in(image)
        check_volume(image, Path(folder))


def check_contents(image, folder: Path) -> None:
    megabytes = image.bytes / 1e6
    expect(f"{megabytes:.0f} MB, at most {MOST_MB}", megabytes <= MOST_MB)
    expect(f"user {image.user} is a number and not root", re.fullmatch(r"[1-9]\d*:\d+", image.user))
    image.copy("usr", folder)
    shells = [path.name for path in folder.rglob("*") if path.name in ("sh", "bash", "dash", "busybox", "apt", "dpkg")]
    expect(f"no shell and no package manager {shells or ''}", not [name for name in shells if name != "dpkg"])
    components = json.loads((folder / SBOM).read_text("utf-8"))["components"]
    names = {component["name"] for component in components}
    expect(f"a bill of {len(components)} components", {"tonic", "tch", "torch", "libc6", "libstdc++6"} <= names)


def check_baked_in(image) -> None:
    """With the models of the image, on a root that can't be written."""
    with serving(image, None) as (data, admin):
        for call in readme_calls():
            address = call.replace("localhost:50051", f"127.0.0.1:{data}").replace("localhost:50052", f"127.0.0.1:{admin}")
            done = subprocess.run(["bash", "-c", address], capture_output=True, text=True, timeout=PATIENCE_S)
            expect(" ".join(call.split())[:90], done.returncode == 0 and '"error"' not in done.stdout, done)
        done = change_who_answers(image, admin)
        expect(f"a change that can't be kept: {done.stderr.strip()}", done.returncode == 1, done)


def check_volume(image, folder: Path) -> None:
    """With models on a volume that its user may write to."""
    models = folder / "models"
    image.copy(MODELS, folder)
    (folder / MODELS).rename(models)
    for path in [models, *models.rglob("*")]:
        os.chown(path, *map(int, image.user.split(":")))
    with serving(image, models) as (_, admin):
        done = change_who_answers(image, admin)
        expect("a change on a volume", done.returncode == 0 and (models / "policy.json").exists(), done)


def readme_calls() -> list:
    """Calls that need nothing but the shipped models: those of the Ask it and Tensors sections, and the list of models."""
    calls = re.findall(r"^grpcurl -plaintext .*?(?=\n```|\ngrpcurl)", README.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    wanted = [call for call in calls if "SetTraffic" not in call and "Rollback" not in call]
    return [*wanted, "grpcurl -plaintext localhost:50051 list", "grpcurl -plaintext localhost:50052 describe"]


def change_who_answers(image, admin: int) -> subprocess.CompletedProcess:
    order = ["models", "--addr", f"http://127.0.0.1:{admin}", "traffic", "merchant_gmv", "stable=1"]
    return subprocess.run(image.command(order, {}, None), capture_output=True, text=True, timeout=PATIENCE_S)


@contextmanager
def serving(image, models: Path | None):
    """The image's program until it is told to stop, which it must do well."""
    data, http, admin = free_ports(3)
    addresses = zip(["LISTEN", "HTTP_LISTEN", "ADMIN_LISTEN"], (data, http, admin), strict=True)
    environment = {f"SOUK__SERVER__{key}": f"127.0.0.1:{port}" for key, port in addresses}
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(image.command(["serve"], environment, models), stdout=log, stderr=log)
        try:
            expect("ready", wait_until_ready(process, f"http://127.0.0.1:{http}/readyz"))
            yield data, admin
            process.terminate()
            expect("drained", process.wait(PATIENCE_S) == 0)
        except BaseException:
            log.seek(0)
            print(log.read()[-3000:], file=sys.stderr)
            raise
        finally:
            process.kill()


def wait_until_ready(process: subprocess.Popen, url: str) -> bool:
    until = time.monotonic() + PATIENCE_S
    while process.poll() is None and time.monotonic() < until:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return True
        except OSError:
            time.sleep(0.05)
    return False


def free_ports(count: int) -> list:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [held.getsockname()[1] for held in sockets]
    for held in sockets:
        held.close()
    return ports


def output(*command, **more) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **more).stdout


def expect(what: str, holds, done: subprocess.CompletedProcess | None = None) -> None:
    print(f"  {'ok' if holds else 'WRONG'}  {what}", flush=True)
    if not holds:
        sys.exit(f"{done.stdout}{done.stderr}" if done else 1)


if __name__ == "__main__":
    main()
