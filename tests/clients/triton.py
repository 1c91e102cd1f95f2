"""PyPI's tritonclient against a server of the models of tests/suite/common/tensors.rs.

    python tests/clients/triton.py DATA_ADDRESS ADMIN_ADDRESS

Says nothing where all is as it should be.
"""

import json
import queue
import sys
import threading
from pathlib import Path

import numpy as np
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

FIXTURES = Path(__file__).parents[1] / "fixtures" / "import"
# Of FP32, against what PyTorch and numpy computed.
TOLERANCE = 1e-6
PATIENCE_SECONDS = 120


def tensor(name: str, values: np.ndarray, datatype: str) -> triton.InferInput:
    given = triton.InferInput(name, list(values.shape), datatype)
    given.set_data_from_numpy(values)
    return given


def rows(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 3)).astype(np.float32)


def check(result: triton.InferResult, x: np.ndarray) -> None:
    np.testing.assert_allclose(result.as_numpy("first"), x[:, :1], atol=TOLERANCE)
    np.testing.assert_allclose(result.as_numpy("mean"), x.mean(1), atol=TOLERANCE)


def liveness_and_metadata(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("halves") and client.is_model_ready("halves", "1")
    assert not client.is_model_ready("halves", "9") and not client.is_model_ready("nobody")
    server = client.get_server_metadata()
    assert server.name == "souk" and "statistics" in server.extensions, server
    model = client.get_model_metadata("tagger", as_json=True)
    assert model["inputs"][0] == {"name": "tokens", "datatype": "INT64", "shape": ["-1", "-1"]}, model
    config = client.get_model_config("halves").config
    assert config.max_batch_size == 64 and config.input[0].dims == [3], config


def sync(client: triton.InferenceServerClient) -> None:
    x = rows(5, 0)
    result = client.infer("halves", [tensor("x", x, "FP32")], request_id="seven", priority=1, timeout=60_000_000)
    assert result.get_response().id == "seven" and result.get_response().model_version == "1"
    check(result, x)
    wanted = [triton.InferRequestedOutput("mean")]
    only = client.infer("halves", [tensor("x", x, "FP32")], outputs=wanted, compression_algorithm="gzip")
    assert [output.name for output in only.get_response().outputs] == ["mean"]
    check(client.infer("halves", [tensor("x", x, "FP32")], compression_algorithm="deflate"), x)
    shares = client.infer("whole", [tensor("x", np.arange(1, 5, dtype=np.float32), "FP32")])
    np.testing.assert_allclose(shares.as_numpy("y"), [0.1, 0.2, 0.3, 0.4], atol=TOLERANCE)


def as_pytorch_computed(client: triton.InferenceServerClient) -> None:
    """Rows of two lengths, which one batch may hold."""
    for line in (FIXTURES / "tagger.jsonl").read_text().splitlines():
        row = json.loads(line)
        tokens = np.array([row["inputs"]["tokens"]], dtype=np.int64)
        numbers = np.array([row["inputs"]["numbers"]], dtype=np.float32)
        result = client.infer("tagger", [tensor("numbers", numbers, "FP32"), tensor("tokens", tokens, "INT64")])
        np.testing.assert_allclose(result.as_numpy("scores"), [row["outputs"]["scores"]], atol=TOLERANCE)
        assert result.as_numpy("count").tolist() == [row["outputs"]["count"]]


def asynchronous(client: triton.InferenceServerClient) -> None:
    answers: queue.Queue = queue.Queue()
    sent = {str(number): rows(1 + number % 7, number) for number in range(64)}
    for number, x in sent.items():
        client.async_infer(
            "halves",
            [tensor("x", x, "FP32")],
            callback=lambda result, error: answers.put((result, error)),
            request_id=number,
        )
    while sent:
        result, error = answers.get(timeout=PATIENCE_SECONDS)
        assert error is None, error
        check(result, sent.pop(result.get_response().id))


def streaming(client: triton.InferenceServerClient) -> None:
    answers: queue.Queue = queue.Queue()
    client.start_stream(callback=lambda result, error: answers.put((result, error)))
    sent = [rows(1 + number % 5, number) for number in range(32)]
    for number, x in enumerate(sent):
        model = "nobody" if number == 7 else "halves"
        client.async_stream_infer(model, [tensor("x", x, "FP32")], request_id=str(number))
    for number, x in enumerate(sent):
        result, error = answers.get(timeout=PATIENCE_SECONDS)
        if number == 7:
            assert "no model nobody" in error.message(), error
            continue
        assert error is None and result.get_response().id == str(number), (number, error)
        check(result, x)
    client.stop_stream()


def faults(client: triton.InferenceServerClient) -> None:
    x = rows(2, 1)
    cases = [
        (lambda: client.infer("halves", [tensor("y", x, "FP32")]), 'inputs["y"]: is no input of the model'),
        (lambda: client.infer("halves", [tensor("x", x.astype(np.float64), "FP64")]), 'is "FP64", wanted "FP32"'),
        (lambda: client.infer("halves", [tensor("x", x[:, :2].copy(), "FP32")]), "is [2, 2], wanted [-1, 3]"),
        (lambda: client.infer("halves", []), 'inputs["x"]: is missing'),
        (
            lambda: client.infer("halves", [tensor("x", x, "FP32")], outputs=[triton.InferRequestedOutput("sum")]),
            'outputs["sum"]: is no output',
        ),
    ]
    for call, wanted in cases:
        try:
            call()
        except InferenceServerException as error:
            assert error.status() == "StatusCode.INVALID_ARGUMENT" and wanted in error.message(), error
        else:
            raise AssertionError(f"accepted: {wanted}")


def concurrent(client: triton.InferenceServerClient) -> None:
    failed: list[BaseException] = []

    def many(seed: int) -> None:
        try:
            for number in range(8):
                x = rows(1 + number, 100 * seed + number)
                check(client.infer("halves", [tensor("x", x, "FP32")]), x)
        except BaseException as error:  # noqa: BLE001 - told below
            failed.append(error)

    threads = [threading.Thread(target=many, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, failed


def statistics(client: triton.InferenceServerClient) -> None:
    before = client.get_inference_statistics("halves").model_stats[0]
    x = rows(3, 2)
    check(client.infer("halves", [tensor("x", x, "FP32")]), x)
    after = client.get_inference_statistics("halves", "1").model_stats[0]
    assert after.inference_count == before.inference_count + 3, (before, after)
    assert after.execution_count == before.execution_count + 1
    assert after.inference_stats.success.count == before.inference_stats.success.count + 1
    assert after.inference_stats.compute_infer.ns > before.inference_stats.compute_infer.ns
    assert len(client.get_inference_statistics().model_stats) >= 3


def repository(client: triton.InferenceServerClient, admin: triton.InferenceServerClient) -> None:
    """Version 2 of halves lies on disk; the policy says that version 1 answers."""

    def states() -> dict[str, str]:
        models = client.get_model_repository_index().models
        return {model.version: model.state for model in models if model.name == "halves"}

    assert states() == {"1": "READY", "2": "UNAVAILABLE"}, states()
    try:
        client.load_model("halves")
    except InferenceServerException as error:
        assert error.status() == "StatusCode.PERMISSION_DENIED" and "server.admin_listen" in error.message(), error
    else:
        raise AssertionError("the data port took an order")
    assert admin.is_server_live() and admin.is_server_ready()
    admin.load_model("halves")
    assert states() == {"1": "READY", "2": "READY"}, states()
    assert client.is_model_ready("halves", "2")
    admin.unload_model("halves")
    assert states() == {"1": "READY", "2": "UNAVAILABLE"}, states()


def main() -> None:
    data, admin = sys.argv[1:]
    with triton.InferenceServerClient(data) as client, triton.InferenceServerClient(admin) as orders:
        for part in [
            liveness_and_metadata, sync, as_pytorch_computed, asynchronous, streaming, faults, concurrent, statistics,
        ]:
            part(client)
        repository(client, orders)


if __name__ == "__main__":
    main()
