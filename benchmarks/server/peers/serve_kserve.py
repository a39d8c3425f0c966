"""KServe's model server, over gRPC and HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kserve import InferOutput, InferResponse, Model, ModelServer, model_server
from served import options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kserve import InferRequest
    from served import Served


class _Model(Model):
    def __init__(self, served: Served) -> None:
        super().__init__(served.name)
        self._served = served
        self.ready = True

    async def predict(self, payload: InferRequest, *_: Any, **__: Any) -> InferResponse:
        inputs: Mapping[str, Any] = {given.name: given.as_numpy() for given in payload.inputs}
        outputs = []
        for name, array in self._served.run(inputs).items():
            output = InferOutput(name, list(array.shape), "FP32")
            output.set_data_from_numpy(array, binary_data=True)
            outputs.append(output)
        return InferResponse(payload.id or "", self.name, outputs)


def main() -> None:
    """Serve until SIGTERM."""
    given = options()
    for direction in ("send", "receive"):
        setattr(model_server.args, f"grpc_max_{direction}_message_length", -1)
    server = ModelServer(http_port=given.http_port, grpc_port=given.grpc_port, workers=1)
    server.start([_Model(model) for model in given.load()])


if __name__ == "__main__":
    main()
