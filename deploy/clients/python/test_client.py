"""Against the servers of ../check.py, which says where they are."""

import os
import re
import time
import unittest
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
from client import Budget, Options, connect, noodles
from souk.v1.merchant_gmv_pb2 import PredictGmvResponse
from souk.v1.merchant_gmv_pb2_grpc import MerchantGmvServiceStub

# Longer than any of this takes on a busy machine.
PATIENCE_S = 60


def options(servers: str, **more) -> Options:
    address = os.environ[servers]
    return Options(f"ipv4:{address}" if "," in address else address, **({"deadline_s": PATIENCE_S} | more))


def key(name: str) -> Path:
    return Path(os.environ["SOUK_KEYS"]) / name


def predict(given: Options) -> PredictGmvResponse:
    with connect(given) as channel:
        return MerchantGmvServiceStub(channel).PredictGmv(noodles())


def two_at_a_time(given: Options) -> None:
    """To a server whose queue holds one row, for half a second: of two calls at a time one is refused."""
    with connect(given) as channel, ThreadPoolExecutor(2) as threads:
        stub = MerchantGmvServiceStub(channel)
        for call in [threads.submit(stub.PredictGmv, noodles()) for _ in range(2)]:
            call.result()


def answered(metrics: str) -> int:
    text = urllib.request.urlopen(metrics, timeout=PATIENCE_S).read().decode()
    found = re.search(r'souk_requests_total\{code="OK",method="souk.v1.MerchantGmvService/PredictGmv"\} (\d+)', text)
    return int(found[1]) if found else 0


class Client(unittest.TestCase):
    def ends(self, given: Options, code: grpc.StatusCode, words: str = "") -> None:
        with self.assertRaises(grpc.RpcError) as ended:
            predict(given)
        self.assertEqual(ended.exception.code(), code, ended.exception)
        self.assertIn(words, ended.exception.details().lower())

    def test_calls_take_turns_over_all_servers(self) -> None:
        servers = os.environ["SOUK_METRICS"].split(",")
        before = [answered(server) for server in servers]
        until = time.monotonic() + PATIENCE_S
        with connect(options("SOUK_BOTH")) as channel:
            stub = MerchantGmvServiceStub(channel)
            while any(answered(server) == had for server, had in zip(servers, before, strict=True)):
                self.assertLess(time.monotonic(), until)
                self.assertGreater(stub.PredictGmv(noodles()).results[0].forecast.expected_gmv, 0)

    def test_what_was_refused_is_tried_again_when_the_server_said(self) -> None:
        waits: list[tuple[float, float]] = []
        until = time.monotonic() + PATIENCE_S
        while not waits:
            self.assertLess(time.monotonic(), until, "nothing was refused")
            two_at_a_time(options("SOUK_FULL", on_retry=lambda *wait: waits.append(wait)))
        for asked_s, wait_s in waits:
            self.assertTrue(0 < asked_s < wait_s, waits)

    def test_without_a_budget_a_refusal_is_the_callers(self) -> None:
        until = time.monotonic() + PATIENCE_S
        with self.assertRaises(grpc.RpcError) as ended:
            while time.monotonic() < until:
                two_at_a_time(options("SOUK_FULL", budget=Budget(0)))
        self.assertEqual(ended.exception.code(), grpc.StatusCode.RESOURCE_EXHAUSTED)

    def test_a_deadline_ends_a_call(self) -> None:
        self.ends(options("SOUK_FULL", deadline_s=0.1), grpc.StatusCode.DEADLINE_EXCEEDED, "deadline")

    def test_tls_with_the_right_roots_is_answered(self) -> None:
        predict(options("SOUK_TLS", roots=key("roots.pem")))

    def test_a_server_that_others_signed_is_not_trusted(self) -> None:
        self.ends(options("SOUK_TLS", roots=key("others.pem")), grpc.StatusCode.UNAVAILABLE, "certificate")

    def test_tls_to_a_server_without_it_says_so(self) -> None:
        self.ends(options("SOUK_FULL", roots=key("roots.pem")), grpc.StatusCode.UNAVAILABLE, "ssl")

    def test_a_server_that_wants_a_certificate_answers_who_has_one(self) -> None:
        self.ends(options("SOUK_MTLS", roots=key("roots.pem")), grpc.StatusCode.UNAVAILABLE)
        predict(options("SOUK_MTLS", roots=key("roots.pem"), cert=key("client.pem"), key=key("client.key")))

    def test_a_server_that_wants_a_token_answers_who_may_ask(self) -> None:
        # The health check is refused first, so that no server is there to be asked.
        self.ends(options("SOUK_TOKENS", roots=key("roots.pem")), grpc.StatusCode.UNAVAILABLE)
        observer = options("SOUK_TOKENS", roots=key("roots.pem"), token=key("observer.token"))
        self.ends(observer, grpc.StatusCode.PERMISSION_DENIED, "observer")
        predict(options("SOUK_TOKENS", roots=key("roots.pem"), token=key("caller.token")))


if __name__ == "__main__":
    unittest.main()
