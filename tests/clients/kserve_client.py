"""PyPI's kserve against a server of the models of tests/suite/common/tensors.rs.

    python tests/clients/kserve_client.py DATA_ADDRESS

Says nothing where all is as it should be. The client is unchanged; only the package's
front page, which imports Kubernetes and a model server, is left out.
"""

import asyncio
import importlib.util
import sys
import types

import grpc
import numpy as np

package = types.ModuleType("kserve")
package.__path__ = list(importlib.util.find_spec("kserve").submodule_search_locations)
sys.modules["kserve"] = package

from kserve.inference_client import InferenceGRPCClient  # noqa: E402
from kserve.protocol.infer_type import InferInput, InferRequest  # noqa: E402

# Of FP32, against numpy.
TOLERANCE = 1e-6


def request(given: InferInput, number: int) -> InferRequest:
    return InferRequest(model_name="halves", infer_inputs=[given], request_id=str(number))


async def typed_and_raw(client: InferenceGRPCClient) -> None:
    x = np.random.default_rng(3).normal(size=(4, 3)).astype(np.float32)
    typed = InferInput(name="x", shape=[4, 3], datatype="FP32", data=x.flatten().tolist())
    raw = InferInput(name="x", shape=[4, 3], datatype="FP32")
    raw.set_data_from_numpy(x, binary_data=True)
    for number, given in enumerate([typed, raw]):
        response = await client.infer(request(given, number))
        assert response.id == str(number) and response.model_version == "1", response
        outputs = {output.name: output.as_numpy() for output in response.outputs}
        np.testing.assert_allclose(outputs["first"], x[:, :1], atol=TOLERANCE)
        np.testing.assert_allclose(outputs["mean"], x.mean(1), atol=TOLERANCE)


async def fault(client: InferenceGRPCClient) -> None:
    wrong = InferInput(name="x", shape=[1, 2], datatype="FP32", data=[1.0, 2.0])
    try:
        await client.infer(request(wrong, 0))
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error
        assert error.details() == 'inputs["x"].shape: is [1, 2], wanted [-1, 3]', error
    else:
        raise AssertionError("a wrong shape was accepted")


async def main() -> None:
    async with InferenceGRPCClient(sys.argv[1]) as client:
        assert await client.is_server_live() and await client.is_server_ready()
        assert await client.is_model_ready("halves") and not await client.is_model_ready("nobody")
        await typed_and_raw(client)
        await fault(client)


if __name__ == "__main__":
    asyncio.run(main())
