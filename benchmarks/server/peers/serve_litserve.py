"""LitServe, over HTTP: a model a path, and the protocol's binary tensors read and written here."""

# No postponed annotations: FastAPI reads those of decode_request.
import json
from typing import Annotated, Any

import litserve
import numpy as np
from fastapi import Depends, Request, Response
from served import Served, options

_LENGTH = "Inference-Header-Content-Length"


async def _message(request: Request) -> dict[str, Any]:
    return {"header_bytes": int(request.headers[_LENGTH]), "body": await request.body()}


class _Api(litserve.LitAPI):
    def __init__(self, model: dict[str, Any]) -> None:
        super().__init__(api_path=f"/v2/models/{model['name']}/infer")
        self._model = model

    def setup(self, device: str) -> None:  # noqa: ARG002
        self._served = Served(**self._model)

    def decode_request(self, request: Annotated[dict, Depends(_message)]) -> dict[str, np.ndarray]:
        body, at = request["body"], request["header_bytes"]
        inputs = {}
        for tensor in json.loads(body[:at])["inputs"]:
            size = tensor["parameters"]["binary_data_size"]
            inputs[tensor["name"]] = np.frombuffer(body, np.float32, size // 4, at).reshape(tensor["shape"])
            at += size
        return inputs

    def predict(self, x: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return self._served.run(x)

    def encode_response(self, output: dict[str, np.ndarray]) -> Response:
        described = [
            {
                "name": name,
                "shape": array.shape,
                "datatype": "FP32",
                "parameters": {"binary_data_size": array.nbytes},
            }
            for name, array in output.items()
        ]
        document = {"model_name": self._model["name"], "model_version": "1", "outputs": described}
        header = json.dumps(document).encode()
        body = header + b"".join(array.tobytes() for array in output.values())
        return Response(body, headers={_LENGTH: str(len(header))}, media_type="application/octet-stream")


def main() -> None:
    """Serve until SIGTERM."""
    given = options()
    server = litserve.LitServer(
        [_Api(model) for model in given.models], accelerator="cpu", workers_per_device=1, timeout=False
    )
    server.run(
        port=given.http_port, host="127.0.0.1", num_api_servers=1, generate_client_file=False, log_level="warning"
    )


if __name__ == "__main__":
    main()
