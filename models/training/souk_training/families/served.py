"""Serves a folder of models by a server of its own, and scores rows through its socket."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from souk_training.golden import read_jsonl

START_SECONDS = 120


def check(program: Path, models: Path) -> None:
    """`souk check`: raises with what it printed where a version has a problem."""
    _run([str(program), "check", str(models)], models)


@contextmanager
def server(program: Path, models: Path) -> Iterator[str]:
    """A server of `models` on free ports of loopback, as long as the block lasts; gives its address."""
    data, http, admin = _free_ports(3)
    settings = {
        "SOUK__SERVER__LISTEN": f"127.0.0.1:{data}",
        "SOUK__SERVER__HTTP_LISTEN": f"127.0.0.1:{http}",
        "SOUK__SERVER__ADMIN_LISTEN": f"127.0.0.1:{admin}",
        "SOUK__MODELS__ROOT": str(models),
        # The rows are of real users and shops: none is to be kept.
        "SOUK__MODELS__KEEP_RECENT_ROWS": "false",
    }
    log = models / "server.log"
    with open(log, "wb") as file:
        # Its own folder, so that no settings of the user's are read.
        child = subprocess.Popen(
            [str(program), "serve"], cwd=models, env={**os.environ, **settings}, stdout=file, stderr=file
        )
    try:
        _wait_until_ready(child, f"http://127.0.0.1:{http}/readyz", log)
        yield f"http://127.0.0.1:{data}"
    finally:
        child.terminate()
        try:
            child.wait(30)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def score(program: Path, address: str, question: str, rows: Path, out: Path) -> list[dict]:
    """`souk score`: one result a row, in the rows' order; raises where any row has an error."""
    command = [str(program), "score", question, "--addr", address, "--input", str(rows), "--output", str(out)]
    _run(command, out.parent)
    return read_jsonl(out)


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise ValueError(f"{' '.join(command[1:3])}: exit code {done.returncode}\n{done.stdout}{done.stderr}")


def _wait_until_ready(child: subprocess.Popen, url: str, log: Path) -> None:
    found = "no answer"
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and child.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except urllib.error.HTTPError as error:
            found = error.read().decode()
        except OSError:
            pass
        time.sleep(0.05)
    raise ValueError(f"the server of {log.parent} was not ready: {found}\n{log.read_text()[-2000:]}")


def _free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago; held together, so that no two are the same."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [taken.getsockname()[1] for taken in sockets]
    for taken in sockets:
        taken.close()
    return ports
