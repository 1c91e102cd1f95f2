#!/usr/bin/env python3
"""Checks rules.yml, /metrics and the dashboard: against tests, and against a server under load.

    make watch-test
    python3 deploy/prometheus/check.py --souk target/release/souk

Rules and their tests by promtool. Then a server with copies of the shipped models, one of them a canary, some shadows
and one that does not prove itself, is sent load by TLS, and a real Prometheus scrapes it, by TLS too. Every query of the dashboard and
every recording rule must have given data, and every series that an alert looks at must be there. Takes about a minute.
What it starts listens on 127.0.0.1 and is ended with it. Needs Python 3.10 and what TOOLS names.
"""

import argparse
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SHIPPED = ROOT / "models"
DASHBOARD = HERE.parent / "grafana" / "souk.json"
# For a server to be ready, and then for the last query to have data.
PATIENCE_S = 60
CALLS_PER_S = 100
ROWS_OF_A_STREAM = 500
# What Grafana puts in the place of its variables, here for scrapes of one second.
VARIABLES = {"$__rate_interval": "10s", "$job": ".+", "$instance": ".+", "$model": ".+", "$version": ".+"}
# The version that does not prove itself has to fire this one.
FIRES = "SoukModelLoadFailed"
TOOLS = {
    "promtool": "apt install prometheus, or a release from https://prometheus.io/download",
    "prometheus": "apt install prometheus, or a release from https://prometheus.io/download",
    "openssl": "apt install openssl",
    "ghz": "go install github.com/bojand/ghz/cmd/ghz@latest, or a release from https://ghz.sh",
}
# Of the server and of whoever signs it: one and the same.
CERTIFICATE = """
[req]
prompt = no
distinguished_name = subject
x509_extensions = extensions
[subject]
CN = souk
[extensions]
subjectAltName = DNS:localhost, IP:127.0.0.1
basicConstraints = critical, CA:FALSE
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--souk", type=Path, default=ROOT / "target" / "release" / "souk", help="the program")
    souk = parser.parse_args().souk.resolve()
    check_tools(souk)
    # So that what was started is ended then too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))
    run("check rules", "promtool", "check", "rules", HERE / "rules.yml")
    run("check config", "promtool", "check", "config", HERE / "prometheus.yml")
    run("test rules", "promtool", "test", "rules", HERE / "rules_test.yml")
    run("dashboard as written by make.py", sys.executable, DASHBOARD.with_name("make.py"), "--check")
    with tempfile.TemporaryDirectory(prefix="souk-watch-") as folder, ExitStack() as started:
        watch(souk, Path(folder), started)


def check_tools(souk: Path) -> None:
    missing = [f"missing: {tool}\n         {how}" for tool, how in TOOLS.items() if shutil.which(tool) is None]
    if not souk.exists():
        missing.append(f"missing: {souk}\n         make build")
    if missing:
        sys.exit("\n".join(missing))


def watch(souk: Path, folder: Path, started: ExitStack) -> None:
    """A server, load, and a Prometheus that looks at it."""
    data, http, admin, own = free_ports(4)
    write_models(folder / "models")
    secured = write_certificate(folder)
    started.enter_context(serving(souk, folder, (data, http, admin)))
    wait_for("a server that is ready", lambda: get(f"https://127.0.0.1:{http}/readyz", secured))
    traffic = [souk, "models", "--addr", f"https://127.0.0.1:{admin}", "--ca", folder / "tls.crt", "traffic"]
    run("a canary and a shadow", *traffic, "merchant_gmv", "stable=1", "canary=2:20", "shadow=3", "--guard", "off")
    run("a shadow", *traffic, "user_portrait", "stable=1", "shadow=2")

    since = time.time()
    prometheus = f"http://127.0.0.1:{own}"
    started.enter_context(scraping(folder, http, own))
    started.enter_context(calling(folder, data))
    wait_for("a Prometheus that is ready", lambda: get(f"{prometheus}/-/ready"))
    # Its groups are evaluated within a second; what has no data yet is asked again.
    wait_for("the rules", lambda: rules(prometheus))
    open_queries = {**of_dashboard(), **of_rules(rules(prometheus))}
    asked = len(open_queries)
    until = time.monotonic() + PATIENCE_S
    while open_queries and time.monotonic() < until:
        score(souk, folder, data)
        open_queries = {name: query for name, query in open_queries.items() if not has_data(prometheus, query, since)}
    run("check metrics", "promtool", "check", "metrics", text=get(f"https://127.0.0.1:{http}/metrics", secured))
    check_openmetrics(f"https://127.0.0.1:{http}/metrics", secured, f"{prometheus}/api/v1/targets")
    if open_queries:
        sys.exit("\n".join(["without data:", *(f"  {name}\n      {query}" for name, query in open_queries.items())]))
    print(f"{asked} queries gave data: ok")


def check_openmetrics(url: str, secured: ssl.SSLContext, targets: str) -> None:
    """promtool knows the older format alone, so Prometheus is asked, which prefers this one: had it found a fault, the
    whole scrape would have failed."""
    preferred = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
    request = urllib.request.Request(url, headers={"Accept": preferred})
    with urllib.request.urlopen(request, timeout=10, context=secured) as answer:
        form, text = answer.headers["content-type"], answer.read().decode()
    if not form.startswith("application/openmetrics-text") or not text.endswith("\n# EOF\n"):
        sys.exit(f"openmetrics: FAILED\n{form}\n{text[-200:]}")
    (target,) = json.loads(get(targets))["data"]["activeTargets"]
    if target["health"] != "up" or target["lastError"]:
        sys.exit(f"openmetrics: FAILED\n{target['lastError']}")
    print("openmetrics, as Prometheus scrapes it: ok")


# What is started ------------------------------------------------------------------------------------------------------


def write_models(root: Path) -> None:
    """The shipped versions, copies of them under further numbers, and one whose model.pt is not the manifest's."""
    for model, copies in [("merchant_gmv", [2, 3, 4]), ("user_portrait", [2])]:
        shutil.copytree(SHIPPED / model / "1", root / model / "1")
        for number in copies:
            shutil.copytree(SHIPPED / model / "1", root / model / str(number))
            manifest = root / model / str(number) / "manifest.json"
            manifest.write_text(json.dumps(json.loads(manifest.read_text("utf-8")) | {"version": number}), "utf-8")
    with (root / "merchant_gmv" / "4" / "model.pt").open("ab") as archive:
        archive.write(b"changed")


def write_certificate(folder: Path) -> ssl.SSLContext:
    """For a month, as tls.crt and tls.key; by what it is known."""
    (folder / "tls.conf").write_text(CERTIFICATE, "utf-8")
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-days", "30"]
    files = ["-config", folder / "tls.conf", "-keyout", folder / "tls.key", "-out", folder / "tls.crt"]
    run("a certificate", "openssl", "req", "-x509", *kind, *files)
    return ssl.create_default_context(cafile=folder / "tls.crt")


def serving(souk: Path, folder: Path, ports: tuple):
    addresses = zip(["LISTEN", "HTTP_LISTEN", "ADMIN_LISTEN"], ports, strict=True)
    mine = {f"SOUK__SERVER__{key}": f"127.0.0.1:{port}" for key, port in addresses}
    mine |= {f"SOUK__SERVER__TLS__{key}": str(folder / file) for key, file in [("CERT", "tls.crt"), ("KEY", "tls.key")]}
    others = {name: value for name, value in os.environ.items() if not name.startswith("SOUK")}
    environment = others | mine | {"SOUK__MODELS__ROOT": str(folder / "models")}
    return child(folder, "souk", [souk, "serve"], env=environment)


def scraping(folder: Path, scraped: int, own: int):
    """Prometheus with the example's configuration, but for its rhythm, its target and how that is known."""
    example = (HERE / "prometheus.yml").read_text("utf-8")
    by_tls = f"job_name: souk\n    scheme: https\n    tls_config: {{ca_file: {folder / 'tls.crt'}}}\n"
    changes = {"job_name: souk\n": by_tls, "15s": "1s", "rules.yml\n": f"{HERE / 'rules.yml'}\n", "127.0.0.1:9464": f"127.0.0.1:{scraped}"}
    for old, new in changes.items():
        example = example.replace(old, new)
    (folder / "prometheus.yml").write_text(example, "utf-8")
    settings = [f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'series'}"]
    return child(folder, "prometheus", ["prometheus", *settings, f"--web.listen-address=127.0.0.1:{own}"])


def calling(folder: Path, port: int):
    """Unary calls by the clock, until it is ended."""
    rhythm = ["--rps", str(CALLS_PER_S), "--duration", f"{2 * PATIENCE_S}s"]
    scenario = json.loads((ROOT / "benches" / "ghz" / "open.json").read_text("utf-8")) | {"insecure": False}
    (folder / "ghz.json").write_text(json.dumps(scenario | {"cacert": str(folder / "tls.crt")}), "utf-8")
    # From the root: its scenario names a file from there.
    return child(folder, "ghz", ["ghz", "--config", folder / "ghz.json", *rhythm, f"127.0.0.1:{port}"], cwd=ROOT)


@contextmanager
def child(folder: Path, name: str, command: list, **more):
    """Runs while it is needed; its log is shown where something went wrong meanwhile."""
    log = folder / f"{name}.log"
    with log.open("wb") as written:
        process = subprocess.Popen(command, stdout=written, stderr=subprocess.STDOUT, **({"cwd": folder} | more))
    try:
        yield
    except BaseException:
        print(
            f"--- {name} said last\n" + "\n".join(log.read_text("utf-8", "replace").splitlines()[-20:]), file=sys.stderr
        )
        raise
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def score(souk: Path, folder: Path, port: int) -> None:
    """One stream for each model, of the ordinary rows among its golden ones, which come last."""
    for question, model in [("merchant-gmv", "merchant_gmv"), ("user-portrait", "user_portrait")]:
        lines = (SHIPPED / model / "1" / "golden.jsonl").read_text("utf-8").splitlines()
        rows = [json.dumps(json.loads(line)["row"]) for line in lines[-ROWS_OF_A_STREAM:]]
        by_tls = ["--addr", f"https://127.0.0.1:{port}", "--ca", folder / "tls.crt"]
        command = [souk, "score", question, "--input", "-", *by_tls]
        # Some golden rows are there to be refused, so that its exit code says nothing.
        subprocess.run(command, input="\n".join(rows), capture_output=True, text=True, check=False, cwd=folder)


def run(what: str, *command, text: str | None = None) -> None:
    """A command that must end well; what it says is shown where it does not."""
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    # promtool's advice on metrics has an exit code of its own in some releases, and none in others.
    if done.returncode != 0 or (what == "check metrics" and done.stderr):
        sys.exit(f"{what}: FAILED\n{done.stdout}{done.stderr}")
    print(f"{what}: ok", flush=True)


# What is asked --------------------------------------------------------------------------------------------------------


def of_dashboard() -> dict:
    """Every query of the dashboard, by where it is."""
    made = json.loads(DASHBOARD.read_text("utf-8"))
    panels = [panel for panel in made["panels"] if panel["type"] != "row"]
    queries = {
        f"panel {one['id']} ({one['title']}) {each['refId']}": each["expr"] for one in panels for each in one["targets"]
    }
    queries |= {f"annotation {one['name']}": one["expr"] for one in made["annotations"]["list"]}
    for one in made["templating"]["list"]:
        if one["type"] == "query":
            series, label = re.fullmatch(r"label_values\((.+), (\w+)\)", one["query"]["query"]).groups()
            queries[f"variable {one['name']}"] = f"count by ({label}) ({series})"
    return {name: filled_in(query) for name, query in queries.items()}


def filled_in(query: str) -> str:
    for variable, value in VARIABLES.items():
        query = query.replace(variable, value)
    return query


def of_rules(found: list) -> dict:
    """Recording rules as they are, and of each alert, which should have nothing to say, the series that it looks at."""
    queries = {f"rule {one['name']}": one["query"] for one in found if one["type"] == "recording"}
    for one in (one for one in found if one["type"] == "alerting"):
        for place, series in enumerate(re.findall(r"\b(?:souk[\w:]+|process_\w+|up)\b(?:{[^}]*})?", one["query"])):
            queries[f"alert {one['name']}, series {place + 1}"] = series
    return queries | {"an alert that fires": f'ALERTS{{alertname="{FIRES}", alertstate="firing"}}'}


def rules(prometheus: str) -> list:
    groups = json.loads(get(f"{prometheus}/api/v1/rules"))["data"]["groups"]
    return [rule for group in groups for rule in group["rules"]]


def has_data(prometheus: str, query: str, since: float) -> bool:
    """Whether it gave a number at any time since then."""
    asked = urllib.parse.urlencode({"query": query, "start": since, "end": time.time(), "step": 1})
    try:
        series = json.loads(get(f"{prometheus}/api/v1/query_range?{asked}"))["data"]["result"]
    except urllib.error.HTTPError as error:
        sys.exit(f"{query}\n  {error.read().decode()}")
    return any(value != "NaN" for one in series for _, value in one["values"])


def get(url: str, secured: ssl.SSLContext | None = None) -> str:
    with urllib.request.urlopen(url, timeout=10, context=secured) as answer:
        return answer.read().decode()


def wait_for(what: str, found) -> None:
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        try:
            if found():
                return
        except OSError:
            pass
        time.sleep(0.1)
    sys.exit(f"{what}: not within {PATIENCE_S} s")


def free_ports(count: int) -> list:
    """Held all at once, so that they differ."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


if __name__ == "__main__":
    main()
