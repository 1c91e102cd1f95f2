#!/usr/bin/env python3
"""Runs the tests of the example clients against real servers.

    make test-clients
    python3 deploy/clients/check.py --souk target/debug/souk [LANGUAGE …]

Servers of the shipped models: two that calls shall take turns over; one whose queue is full with one row, which then waits
for half a second; and three by TLS, of which one wants certificates of clients and one their tokens. Each language makes its
stubs from proto/ and runs its own tests, which read where the servers are:

    SOUK_BOTH=address,address  SOUK_METRICS=url,url  SOUK_FULL  SOUK_TLS  SOUK_MTLS  SOUK_TOKENS
    SOUK_KEYS: a folder with roots.pem, client.pem, client.key, others.pem, which signed nothing here, caller.token, and
        observer.token, of somebody who may look and not ask

What is started listens on 127.0.0.1 and is ended with this. Needs Python 3.10 with requirements-test.txt, and what TOOLS
names.
"""

import argparse
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path

import trustme

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PROTO = ROOT / "proto"
PATIENCE_S = 60
BUF = os.environ.get("BUF", "npx --yes @bufbuild/buf").split()
TOOLS = {"go": "https://go.dev/dl (1.26 or newer)", "npm": "Node.js 20 or newer", "npx": "Node.js 20 or newer"}
# A queue that is full with one row, and keeps it for so long: in vain it waits for others.
FULL = {"BATCH__QUEUE_ROWS": "1", "BATCH__LINGER": "500ms"}

PYTHON_OUT = ["--python_out=gen", "--pyi_out=gen", "--grpc_python_out=gen"]
PROTOS = ["souk/v1/feature.proto", "souk/v1/merchant_gmv.proto", "souk/v1/user_portrait.proto"]
LANGUAGES = {
    "go": [
        [*BUF, "generate", PROTO],
        ["go", "vet", "./..."],
        ["go", "test", "-count=1", "."],
        ["go", "run", ".", "-servers", "{both}", "-deadline", f"{PATIENCE_S}s"],
    ],
    "python": [
        [sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={PROTO}", *PYTHON_OUT, *PROTOS],
        [sys.executable, "-m", "unittest", "-q", "test_client"],
        [sys.executable, "client.py", "--servers", "ipv4:{both}", "--deadline", f"{PATIENCE_S}"],
    ],
    "typescript": [
        ["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error", "--prefer-offline", "--ignore-scripts"],
        ["npm", "run", "--silent", "generate"],
        ["npm", "run", "--silent", "build"],
        ["npm", "test", "--silent"],
        ["node", "dist/client.js", "--servers", "ipv4:{both}", "--deadline", f"{PATIENCE_S}"],
    ],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--souk", type=Path, required=True, help="the program")
    parser.add_argument("languages", nargs="*", metavar="LANGUAGE", help=", ".join(LANGUAGES))
    arguments = parser.parse_args()
    check_tools(arguments.souk)
    # So that what was started is ended then too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))
    with tempfile.TemporaryDirectory(prefix="souk-clients-") as folder, ExitStack() as started:
        servers = start(arguments.souk.resolve(), Path(folder), started)
        for language in arguments.languages or LANGUAGES:
            since = time.monotonic()
            for command in LANGUAGES[language]:
                run(language, [str(word).format(both=servers["SOUK_BOTH"]) for word in command], servers)
            print(f"{language}: ok after {time.monotonic() - since:.0f} s", flush=True)


def check_tools(souk: Path) -> None:
    missing = [f"missing: {tool}\n         {how}" for tool, how in TOOLS.items() if shutil.which(tool) is None]
    if not souk.exists():
        missing.append(f"missing: {souk}\n         cargo build")
    if missing:
        sys.exit("\n".join(missing))


def run(language: str, command: list, servers: dict) -> None:
    where = HERE / language
    (where / "gen").mkdir(exist_ok=True)
    # The stubs of Python import each other by their names in proto/.
    environment = os.environ | servers | {"PYTHONPATH": "gen", "PYTHONDONTWRITEBYTECODE": "1", "NO_UPDATE_NOTIFIER": "1"}
    done = subprocess.run(command, cwd=where, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        sys.exit(f"{done.stdout}\n{language}: {' '.join(command)} ended with {done.returncode}")


# What is started ------------------------------------------------------------------------------------------------------


def start(souk: Path, folder: Path, started: ExitStack) -> dict:
    keys = folder / "keys"
    write_keys(keys)
    first, second, full = (serve(souk, folder, started, more) for more in ({}, {}, FULL))
    own = {"SERVER__TLS__CERT": keys / "server.pem", "SERVER__TLS__KEY": keys / "server.key"}
    tls, _ = serve(souk, folder, started, own)
    clients = {"SERVER__TLS__CLIENT_CA": keys / "roots.pem", "SERVER__TLS__CLIENT_AUTH": "required"}
    mtls, _ = serve(souk, folder, started, own | clients)
    known, _ = serve(souk, folder, started, own | {"AUTH__FILE": keys / "identities.toml"})
    return {
        "SOUK_BOTH": f"127.0.0.1:{first[0]},127.0.0.1:{second[0]}",
        "SOUK_METRICS": f"http://127.0.0.1:{first[1]}/metrics,http://127.0.0.1:{second[1]}/metrics",
        "SOUK_FULL": f"127.0.0.1:{full[0]}",
        "SOUK_TLS": f"127.0.0.1:{tls}",
        "SOUK_MTLS": f"127.0.0.1:{mtls}",
        "SOUK_TOKENS": f"127.0.0.1:{known}",
        "SOUK_KEYS": str(keys),
    }


def write_keys(folder: Path) -> None:
    folder.mkdir()
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "roots.pem")
    trustme.CA().cert_pem.write_to_path(folder / "others.pem")
    for name, leaf in [("client", authority.issue_cert("caller")), ("server", authority.issue_cert("127.0.0.1"))]:
        leaf.private_key_pem.write_to_path(folder / f"{name}.key")
        for part in leaf.cert_chain_pems:
            part.write_to_path(folder / f"{name}.pem", append=True)
    identities = ""
    for name, role in [("caller", "score"), ("observer", "observe")]:
        (folder / f"{name}.token").write_text(f"only-for-tests-of-the-{name}\n", "utf-8")
        identities += f'[[identity]]\nname = "{name}"\ntoken_file = "{name}.token"\nroles = ["{role}"]\n'
    (folder / "identities.toml").write_text(identities, "utf-8")


def serve(souk: Path, folder: Path, started: ExitStack, more: dict) -> tuple:
    """A server of the shipped models that is ready: its ports for calls and for metrics."""
    data, http, admin = free_ports(3)
    listens = {"LISTEN": data, "HTTP_LISTEN": http, "ADMIN_LISTEN": admin}
    settings = {f"SERVER__{key}": f"127.0.0.1:{port}" for key, port in listens.items()} | more
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SOUK")}
    environment |= {f"SOUK__{key}": str(value) for key, value in settings.items()}
    environment |= {"SOUK__MODELS__ROOT": str(ROOT / "models")}
    started.enter_context(child(folder / f"souk-{data}.log", [souk, "serve"], environment))
    if "SERVER__TLS__CERT" in more:
        context = ssl.create_default_context(cafile=folder / "keys" / "roots.pem")
        context.load_cert_chain(folder / "keys" / "client.pem", folder / "keys" / "client.key")
        wait_until_ready(f"https://127.0.0.1:{http}/readyz", context)
    else:
        wait_until_ready(f"http://127.0.0.1:{http}/readyz")
    return data, http


@contextmanager
def child(log: Path, command: list, environment: dict):
    """Runs while it is needed; its log is shown where something went wrong meanwhile."""
    with log.open("wb") as written:
        process = subprocess.Popen(command, stdout=written, stderr=subprocess.STDOUT, env=environment, cwd=log.parent)
    try:
        yield
    except BaseException:
        print(f"{log.name}: {log.read_text('utf-8')[-500:]}", file=sys.stderr)
        raise
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()


def free_ports(count: int) -> list:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [held.getsockname()[1] for held in sockets]
    for held in sockets:
        held.close()
    return ports


def wait_until_ready(url: str, context: ssl.SSLContext | None = None) -> None:
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5, context=context):
                return
        except OSError as error:
            if time.monotonic() > until:
                sys.exit(f"{url}: not ready after {PATIENCE_S} s: {error}")
            time.sleep(0.05)


if __name__ == "__main__":
    main()
