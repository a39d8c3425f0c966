"""What Triton's published examples do with its asyncio clients, over every way to a server."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException


def pair(way: Any, first: int) -> list[Any]:
    inputs = [way.triton.InferInput(f"INPUT{i}", [1, 16], "INT32") for i in (0, 1)]
    for tensor, value in zip(inputs, (first, 1), strict=True):
        tensor.set_data_from_numpy(np.full((1, 16), value, np.int32))
    return inputs


def test_infer_from_asyncio(way: Any) -> None:
    async def ask() -> None:
        async with way.connect_aio() as client:
            assert await client.is_server_live()
            assert await client.is_server_ready()
            assert await client.is_model_ready("simple")
            assert await client.get_server_metadata()
            metadata = await client.get_model_metadata("simple")
            assert (metadata.name if way.kind == "grpc" else metadata["name"]) == "simple"
            outputs = [way.triton.InferRequestedOutput("OUTPUT0"), way.triton.InferRequestedOutput("OUTPUT1")]
            calls = [client.infer("simple", pair(way, number), outputs=outputs) for number in range(20)]
            for number, result in enumerate(await asyncio.gather(*calls)):
                assert set(result.as_numpy("OUTPUT0")[0].tolist()) == {number + 1}
                assert set(result.as_numpy("OUTPUT1")[0].tolist()) == {number - 1}
            with pytest.raises(InferenceServerException, match="Request for unknown model"):
                await client.infer("wrong_model_name", pair(way, 0))

    asyncio.run(ask())


def test_control_and_statistics_from_asyncio(way: Any) -> None:
    async def ask() -> None:
        async with way.connect_aio() as client:
            await client.unload_model("simple_swapped")
            assert not await client.is_model_ready("simple_swapped")
            await client.load_model("simple_swapped")
            assert await client.is_model_ready("simple_swapped")
            await client.infer("simple_swapped", pair(way, 3))
            statistics = await client.get_inference_statistics("simple_swapped")
            (row,) = statistics.model_stats if way.kind == "grpc" else statistics["model_stats"]
            assert (row.inference_count if way.kind == "grpc" else row["inference_count"]) == 1
            await client.unregister_system_shared_memory()
            await client.unregister_cuda_shared_memory()

    asyncio.run(ask())


def test_a_stream_from_asyncio(grpc_way: Any) -> None:
    async def requests() -> Any:
        for number in range(5):
            yield {"model_name": "simple", "inputs": pair(grpc_way, number), "request_id": str(number)}

    async def ask() -> list[int]:
        values = []
        async with grpc_way.connect_aio() as client:
            async for result, error in client.stream_infer(requests()):
                assert error is None
                values.append(int(result.as_numpy("OUTPUT0")[0, 0]))
        return values

    assert asyncio.run(ask()) == [1, 2, 3, 4, 5]
