"""LitServe, over HTTP: a model a path, and the protocol's binary tensors read and written here."""

# No postponed annotations: FastAPI reads those of decode_request.
from typing import Annotated, Any

import litserve
import numpy as np
from fastapi import Depends, Request, Response
from served import LENGTH, Served, from_body, options, to_body


async def _message(request: Request) -> dict[str, Any]:
    return {"header_bytes": int(request.headers[LENGTH]), "body": await request.body()}


class _Api(litserve.LitAPI):
    def __init__(self, model: dict[str, Any]) -> None:
        super().__init__(api_path=f"/v2/models/{model['name']}/infer")
        self._model = model

    def setup(self, device: str) -> None:  # noqa: ARG002
        self._served = Served(**self._model)

    def decode_request(self, request: Annotated[dict, Depends(_message)]) -> dict[str, np.ndarray]:
        return from_body(request["body"], request["header_bytes"])

    def predict(self, x: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return self._served.run(x)

    def encode_response(self, output: dict[str, np.ndarray]) -> Response:
        header, body = to_body(self._model["name"], output)
        return Response(header + body, headers={LENGTH: str(len(header))}, media_type="application/octet-stream")


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
