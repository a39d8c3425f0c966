"""NVIDIA's PyTriton: the real Triton with its Python backend, over gRPC and HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig
from served import options

if TYPE_CHECKING:
    from collections.abc import Callable

    from served import Served


def main() -> None:
    """Serve until SIGTERM."""
    given = options()
    config = TritonConfig(http_port=given.http_port, grpc_port=given.grpc_port, allow_metrics=False)
    with Triton(config=config) as triton:
        for model in given.load():
            batches = model.max_batch_size > 0
            skip = int(batches)
            triton.bind(
                model_name=model.name,
                infer_func=_batched(model) if batches else _one_by_one(model),
                inputs=[Tensor(name=t.name, dtype=np.float32, shape=t.shape[skip:]) for t in model.inputs],
                outputs=[Tensor(name=t.name, dtype=np.float32, shape=t.shape[skip:]) for t in model.outputs],
                config=ModelConfig(
                    batching=batches,
                    max_batch_size=max(1, model.max_batch_size),
                    **({"batcher": DynamicBatcher()} if model.batched else {}),
                ),
            )
        triton.serve()


def _batched(model: Served) -> Callable[..., dict[str, np.ndarray]]:
    @batch
    def infer(**inputs: np.ndarray) -> dict[str, np.ndarray]:
        return model.run(inputs)

    return infer


def _one_by_one(model: Served) -> Callable[[list[Any]], list[dict[str, np.ndarray]]]:
    def infer(requests: list[Any]) -> list[dict[str, np.ndarray]]:
        return [model.run(dict(request.data)) for request in requests]

    return infer


if __name__ == "__main__":
    main()
