"""Asks Souk for a forecast, as a caller in production should.

A deadline on each call, what was refused tried again when the server said and within a budget, calls spread over all
servers, TLS.

    python -m grpc_tools.protoc --proto_path=../../../proto --python_out=gen --grpc_python_out=gen souk/v1/…
    PYTHONPATH=gen python client.py --servers dns:///localhost:50051
    … client.py --servers dns:///souk-headless.shop:50051 --roots ca.pem --cert client.pem --key client.key --token token
"""

import argparse
import json
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from google.protobuf import json_format
from google.rpc.error_details_pb2 import RetryInfo
from grpc_status import rpc_status
from souk.v1.merchant_gmv_pb2 import Merchant, MerchantFeatures, PredictGmvRequest
from souk.v1.merchant_gmv_pb2_grpc import MerchantGmvServiceStub

# Calls take turns over all servers that say SERVING. What a server that drains or vanished did not begin is tried at
# another one; the throttle stops that where most calls fail. RESOURCE_EXHAUSTED is not for this list: gRPC's own
# retries know nothing of RetryInfo.
SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "healthCheckConfig": {"serviceName": ""},
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 3,
                "initialBackoff": "0.02s",
                "maxBackoff": "0.5s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
    "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1},
}
# The first wait before another try, and the longest.
FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 0.02, 1.0


class Budget:
    """Bounds how many calls are tries again: so many at once, and one for ten that succeed after that.

    Without it callers would double the load of servers that have too much already. One is shared by all calls.
    """

    def __init__(self, tries: float = 10) -> None:
        self._tokens = self._most = tries
        self._lock = threading.Lock()

    def succeeded(self) -> None:
        with self._lock:
            self._tokens = min(self._tokens + 0.1, self._most)

    def take(self) -> bool:
        with self._lock:
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True


@dataclass
class Options:
    """Of a connection. Files are PEM; without `roots` it is plain."""

    servers: str  # a target of gRPC: "dns:///host:port", of which every address counts, or "ipv4:1.2.3.4:5,1.2.3.5:5"
    deadline_s: float = 0.5  # of calls without one, tries again included
    budget: Budget = field(default_factory=Budget)
    roots: Path | None = None  # who the servers must be signed by
    cert: Path | None = None  # who this client is
    key: Path | None = None
    token: Path | None = None  # a bearer token, sent over TLS alone; read for each call
    on_retry: Callable[[float, float], None] = lambda asked_s, wait_s: None


def connect(options: Options) -> grpc.Channel:
    """A connection to all servers; it reaches out when the first call is made."""
    settings = [("grpc.service_config", json.dumps(SERVICE_CONFIG))]
    if "," in options.servers:
        # The name that calls carry, and certificates are asked for: a list is none, and servers refuse it.
        settings.append(("grpc.default_authority", options.servers.split(",")[0].removeprefix("ipv4:")))
    if options.roots is None:
        channel = grpc.insecure_channel(options.servers, settings)
    else:
        channel = grpc.secure_channel(options.servers, credentials(options), settings)
    return grpc.intercept_channel(channel, Again(options))


def credentials(options: Options) -> grpc.ChannelCredentials:
    def read(file: Path | None) -> bytes | None:
        return file.read_bytes() if file else None

    secured = grpc.ssl_channel_credentials(read(options.roots), read(options.key), read(options.cert))
    if options.token is None:
        return secured
    return grpc.composite_channel_credentials(secured, grpc.metadata_call_credentials(Bearer(options.token)))


class Bearer(grpc.AuthMetadataPlugin):
    """The file of a bearer token."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __call__(self, context: grpc.AuthMetadataContext, callback: grpc.AuthMetadataPluginCallback) -> None:
        try:
            callback((("authorization", f"Bearer {self._file.read_text('utf-8').strip()}"),), None)
        except OSError as error:
            callback((), error)


class Again(grpc.UnaryUnaryClientInterceptor):
    """Tries again what was refused for now, for as long as deadline and budget allow."""

    def __init__(self, options: Options) -> None:
        self._options = options

    def intercept_unary_unary(self, continuation, client_call_details, request):
        # Servers plan by a call's deadline: what can't be answered in time is refused at once.
        until = time.monotonic() + (client_call_details.timeout or self._options.deadline_s)
        backoff_s = FIRST_BACKOFF_S
        while True:
            left_s = max(until - time.monotonic(), 0)
            call = continuation(client_call_details._replace(timeout=left_s), request)
            error = call.exception()
            if error is None:
                self._options.budget.succeeded()
                return call
            asked_s = retry_info(error)
            if asked_s is None:
                return call
            # Never sooner than asked; by chance, so that who was refused together does not come back together.
            wait_s = asked_s + random.uniform(backoff_s / 2, backoff_s)
            if time.monotonic() + wait_s > until or not self._options.budget.take():
                return call
            self._options.on_retry(asked_s, wait_s)
            time.sleep(wait_s)
            backoff_s = min(2 * backoff_s, LONGEST_BACKOFF_S)


def retry_info(error: grpc.RpcError) -> float | None:
    """How long the server asks to wait, in seconds, of a call that it refused and that may be tried again.

    A message that is too large is RESOURCE_EXHAUSTED too, without RetryInfo, and stays too large.
    """
    if error.code() != grpc.StatusCode.RESOURCE_EXHAUSTED:
        return None
    refusal = rpc_status.from_call(error)
    for detail in refusal.details if refusal else []:
        info = RetryInfo()
        if detail.Unpack(info):
            return info.retry_delay.ToTimedelta().total_seconds()
    return None


def noodles() -> PredictGmvRequest:
    """A merchant of whom little is known."""
    features = MerchantFeatures(country="CN", city="杭州", tenure_days=300)
    features.daily_gmv.extend([860, 912, 1010, 1284, 1302, 795, 804, 871, 930, 1044, 1310, 1275, 820, 841])
    merchant = Merchant(merchant_id="noodles-42", as_of="2016-10-02", features=features)
    return PredictGmvRequest(merchants=[merchant], quantiles=[0.1, 0.5, 0.9])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--servers", default="dns:///localhost:50051", help="a target of gRPC")
    parser.add_argument("--deadline", type=float, default=0.5, metavar="SECONDS", help="tries again included")
    parser.add_argument("--roots", type=Path, help="certificates that servers must be signed by; without it no TLS")
    parser.add_argument("--cert", type=Path, help="this client's certificate")
    parser.add_argument("--key", type=Path, help="its key")
    parser.add_argument("--token", type=Path, help="file with a bearer token")
    given = parser.parse_args()
    options = Options(given.servers, given.deadline, Budget(), given.roots, given.cert, given.key, given.token)
    with connect(options) as channel:
        result = MerchantGmvServiceStub(channel).PredictGmv(noodles()).results[0]
    # A bad row fails alone: the call is OK, and its own result says why.
    if result.HasField("error"):
        raise SystemExit(result.error.message)
    print(json_format.MessageToJson(result.forecast))


if __name__ == "__main__":
    main()
