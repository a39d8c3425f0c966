"""MLServer, over gRPC: its HTTP has no binary tensors."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse
from served import options

if TYPE_CHECKING:
    from mlserver.types import InferenceRequest
    from served import Served

_MODELS: dict[str, Served] = {}
_NO_LIMIT_BYTES = 1 << 30


class _Model(MLModel):
    async def load(self) -> bool:
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        inputs = {given.name: NumpyCodec.decode_input(given) for given in payload.inputs}
        outputs = []
        for name, array in _MODELS[self.name].run(inputs).items():
            output = NumpyCodec.encode_output(name, array)
            output.shape = list(array.shape)  # which it gives a second dimension where there is one
            outputs.append(output)
        return InferenceResponse(model_name=self.name, outputs=outputs)


async def _serve() -> None:
    given = options()
    _MODELS.update({model.name: model for model in given.load()})
    settings = Settings(
        http_port=given.http_port,
        grpc_port=given.grpc_port,
        metrics_endpoint=None,
        parallel_workers=0,
        grpc_max_message_length=_NO_LIMIT_BYTES,
        debug=False,
    )
    server = MLServer(settings)
    await server.start([ModelSettings(name=name, implementation=_Model) for name in _MODELS])


if __name__ == "__main__":
    asyncio.run(_serve())
