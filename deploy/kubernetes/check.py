#!/usr/bin/env python3
"""Checks what is to be deployed: every overlay and KServe's files, against the schemas of their own projects.

    make deploy-test
    check.py --cache FOLDER          for schemas and tools; kept from run to run

`kustomize build`, then `kubeconform -strict`: no field that its resource doesn't know. The schemas are made here, once, from
Go modules: Kubernetes' OpenAPI, and the definitions of resources of the Gateway API, the Prometheus operator and KServe. What
no schema says is looked at by `examine`. Needs Go, Python 3.10 and requirements.txt; the network once.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
DEPLOY = HERE.parent
TOOLS = {
    "kustomize": "sigs.k8s.io/kustomize/kustomize/v5@v5.8.2",
    "kubeconform": "github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0",
}
# Where each module has OpenAPI, or definitions of resources.
KUBERNETES = "k8s.io/kubernetes@v1.34.2"
OPENAPI = "api/openapi-spec/v3/*__v[12]_openapi.json"
PLAIN = {"ConfigMap", "Secret", "ServiceAccount"}
DEFINITIONS = {
    "sigs.k8s.io/gateway-api@v1.4.1": ["config/crd/standard", "grpcroutes", "backendtlspolicies"],
    "github.com/prometheus-operator/prometheus-operator@v0.85.0": [
        "example/prometheus-operator-crd",
        "servicemonitors",
        "prometheusrules",
    ],
    "github.com/kserve/kserve@v0.16.0": ["config/crd/full", "servingruntimes", "inferenceservices"],
}
# What of a schema says what is right, beside `properties` and references.
WORDS = {"type", "items", "enum", "pattern", "required", "additionalProperties", "oneOf", "anyOf", "allOf", "not"}
WORDS |= {"minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"}
LOCATION = "{{ .ResourceKind }}{{ .KindSuffix }}.json"
H2C = "kubernetes.io/h2c"
BUILT = [*sorted((HERE / "overlays").iterdir()), DEPLOY / "kserve"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, required=True)
    cache = parser.parse_args().cache.resolve()
    if shutil.which("go") is None:
        sys.exit("missing: go\n         https://go.dev/dl (1.26 or newer)")
    tools = {name: installed(cache, name, package) for name, package in TOOLS.items()}
    schemas = made_schemas(cache)
    for folder in BUILT:
        text = output(tools["kustomize"], "build", folder)
        output(tools["kubeconform"], "-strict", "-summary", "-schema-location", schemas / LOCATION, stdin=text)
        resources = list(yaml.safe_load_all(text))
        problems = list(examine(resources))
        if problems:
            sys.exit("\n".join([f"{folder.relative_to(DEPLOY)}:", *(f"  {problem}" for problem in problems)]))
        print(f"{folder.relative_to(DEPLOY)}: ok, {len(resources)} resources", flush=True)


# What no schema says --------------------------------------------------------------------------------------------------


def examine(resources: list) -> Iterator[str]:
    """What is wrong with resources that belong together."""
    named = {(each["kind"], each["metadata"]["name"]): each for each in resources}
    for (kind, name), resource in named.items():
        spec = resource.get("spec", {})
        if kind == "Deployment":
            yield from examine_pods(spec["template"], named)
            yield from examine_secured(spec["template"]["spec"], named)
        elif kind == "Service":
            yield from unmatched(f"Service {name}", spec["selector"], named)
            known = {port["name"] for port in container(named)["ports"]}
            yield from (f"Service {name}: no port {port}" for port in {each["targetPort"] for each in spec["ports"]} - known)
        elif kind in ("PodDisruptionBudget", "NetworkPolicy"):
            selector = spec["selector"] if kind == "PodDisruptionBudget" else spec["podSelector"]
            yield from unmatched(f"{kind} {name}", selector["matchLabels"], named)
        elif kind == "HorizontalPodAutoscaler" and ("Deployment", spec["scaleTargetRef"]["name"]) not in named:
            yield f"HorizontalPodAutoscaler {name}: scales nothing"
        elif kind == "ServiceMonitor":
            yield from examine_monitor(spec, named)
        elif kind == "ServingRuntime":
            yield from (f"ServingRuntime: {problem}" for each in spec["containers"] for problem in unlocked(each))


def examine_pods(template: dict, named: dict) -> Iterator[str]:
    spec = template["spec"]
    if not spec["securityContext"].get("runAsNonRoot") or spec.get("automountServiceAccountToken") is not False:
        yield "pods may be root, or hold a token"
    for each in [*spec.get("initContainers", []), *spec["containers"]]:
        yield from unlocked(each)
        mounted = {mount["name"] for mount in each.get("volumeMounts", [])}
        yield from (f"no volume {volume}" for volume in mounted - {volume["name"] for volume in spec["volumes"]})
    (settings,) = (each for (kind, _), each in named.items() if kind == "ConfigMap")
    drain = int(tomllib.loads(settings["data"]["souk.toml"])["server"]["drain_timeout"].removesuffix("s"))
    sleep = container(named)["lifecycle"]["preStop"]["sleep"]["seconds"]
    if spec["terminationGracePeriodSeconds"] < sleep + drain + 5:
        yield f"killed after {spec['terminationGracePeriodSeconds']} s: sleeps {sleep} s, drains {drain} s, closes"


def examine_secured(spec: dict, named: dict) -> Iterator[str]:
    """Who asks has to speak TLS where the server does, and to say who he is where it wants to know."""
    server = container(named)
    settings = {each["name"].removeprefix("SOUK__"): each.get("value") for each in server.get("env", [])}
    tls, known = "SERVER__TLS__CERT" in settings, "AUTH__FILE" in settings
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = server[name].get("httpGet", {})
        if tls and asked.get("scheme") != "HTTPS" and "exec" not in server[name]:
            yield f"{name}: does not speak TLS, and the server nothing else"
        if known and "grpc" in server[name]:
            yield f"{name}: shows no token"
        if asked and settings.get("SERVER__TLS__CLIENT_AUTH") == "required":
            yield f"{name}: shows no certificate"
    for (kind, name), each in named.items():
        if kind == "ServiceMonitor":
            for endpoint in each["spec"]["endpoints"]:
                if (endpoint.get("scheme") == "https") != tls or ("authorization" in endpoint) != known:
                    yield f"ServiceMonitor {name}: scrapes otherwise than it is answered"
        elif kind == "Service" and {port.get("appProtocol") for port in each["spec"]["ports"]} & {H2C} and tls:
            yield f"Service {name}: says plain text"
    secrets = {volume["name"] for volume in spec["volumes"] if "secret" in volume}
    if any("subPath" in mount and mount["name"] in secrets for mount in server["volumeMounts"]):
        yield "a secret's single file never changes"
    folders = tuple(mount["mountPath"] + "/" for mount in server["volumeMounts"])
    files = {value for name, value in settings.items() if value and value.startswith("/")}
    yield from (f"{file}: in no volume" for file in sorted(files) if not file.startswith(folders))


def unlocked(container: dict) -> Iterator[str]:
    """What a container may that it needn't."""
    context = container.get("securityContext", {})
    wanted = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    yield from (f"{container['name']}: {key} is not {value}" for key, value in wanted.items() if context.get(key) != value)
    if not container.get("resources", {}).get("limits", {}).get("memory"):
        yield f"{container['name']}: memory without a limit"


def examine_monitor(spec: dict, named: dict) -> Iterator[str]:
    wanted = spec["selector"]["matchLabels"].items()
    services = [each for (kind, _), each in named.items() if kind == "Service"]
    found = [each for each in services if wanted <= each["metadata"]["labels"].items()]
    ports = [port["name"] for each in found for port in each["spec"]["ports"]]
    if len(found) != 1 or any(endpoint["port"] not in ports for endpoint in spec["endpoints"]):
        yield f"ServiceMonitor: wants one service with its port, found {[each['metadata']['name'] for each in found]}"


def unmatched(what: str, selector: dict, named: dict) -> Iterator[str]:
    (server,) = (each for (kind, _), each in named.items() if kind == "Deployment")
    if not selector.items() <= server["spec"]["template"]["metadata"]["labels"].items():
        yield f"{what}: selects no server"


def container(named: dict) -> dict:
    (server,) = (each for (kind, _), each in named.items() if kind == "Deployment")
    return server["spec"]["template"]["spec"]["containers"][0]


# Schemas --------------------------------------------------------------------------------------------------------------


def made_schemas(cache: Path) -> Path:
    """A folder of strict schemas by kind, group and version, made once for each form of this program."""
    key = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]
    folder = cache / f"schemas-{key}"
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=cache) as made:
            for name, schema in [*of_kubernetes(), *of_definitions()]:
                Path(made, f"{name}.json").write_text(json.dumps(schema), "utf-8")
            shutil.copytree(made, f"{made}-complete")
            Path(f"{made}-complete").rename(folder)
    return folder


def of_kubernetes() -> Iterator[tuple]:
    for document in sorted(downloaded(KUBERNETES).glob(OPENAPI)):
        schemas = json.loads(document.read_text("utf-8"))["components"]["schemas"]
        for schema in schemas.values():
            for kind in schema.get("x-kubernetes-group-version-kind", []):
                # Definitions of resources refer to themselves; nothing here is one.
                if "spec" in schema.get("properties", {}) and kind["group"] != "apiextensions.k8s.io" or kind["kind"] in PLAIN:
                    yield name_of(**kind), strict(schema, schemas)


def of_definitions() -> Iterator[tuple]:
    # YAML 1.1 has a meaning for a bare `=`, which Prometheus' operator uses as a word.
    yaml.SafeLoader.add_constructor("tag:yaml.org,2002:value", lambda _loader, node: node.value)
    for module, (folder, *names) in DEFINITIONS.items():
        for file in (file for name in names for file in (downloaded(module) / folder).glob(f"*_{name}.yaml")):
            spec = yaml.safe_load(file.read_text("utf-8"))["spec"]
            for version in spec["versions"]:
                schema = strict(version["schema"]["openAPIV3Schema"], {})
                yield name_of(spec["group"], version["name"], spec["names"]["kind"]), schema


def name_of(group: str, version: str, kind: str) -> str:
    """As kubeconform looks for it."""
    return "-".join(part for part in (kind.lower(), group.split(".")[0], version) if part)


def strict(schema, known: dict):
    """A schema without references, in which objects have no other properties than it names."""
    if isinstance(schema, list):
        return [strict(each, known) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return strict(known[schema["$ref"].rsplit("/", 1)[1]], known)
    # Kubernetes wraps each reference, so that it can have a description beside it.
    if len(schema.get("allOf", [])) == 1:
        return strict(schema["allOf"][0], known)
    made = {key: strict(value, known) for key, value in schema.items() if key in WORDS}
    if isinstance(schema.get("properties"), dict):
        made["properties"] = {name: strict(value, known) for name, value in schema["properties"].items()}
        if "additionalProperties" not in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
            made["additionalProperties"] = False
    return made


# Tools ----------------------------------------------------------------------------------------------------------------


def installed(cache: Path, name: str, package: str) -> Path:
    folder = cache / f"{name}-{package.rsplit('@', 1)[1]}"
    if not (folder / name).exists():
        print(f"{name}: compiling into {cache}, once per user (a minute)", file=sys.stderr)
        output("go", "install", package, env=os.environ | {"GOBIN": str(folder), "GOFLAGS": ""})
    return folder / name


def downloaded(module: str) -> Path:
    """A Go module's folder; checked by go against its public record."""
    return Path(json.loads(output("go", "mod", "download", "-json", module))["Dir"])


def output(*command, stdin: str | None = None, **more) -> str:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, **more)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
