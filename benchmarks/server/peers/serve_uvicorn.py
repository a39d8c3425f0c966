"""A bare ASGI application under uvicorn: HTTP, a model, and next to nothing else. Its event loop executes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import uvicorn
from served import LENGTH, from_body, options, to_body

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from served import Served

    Receive = Callable[[], Awaitable[dict[str, Any]]]
    Send = Callable[[dict[str, Any]], Awaitable[None]]


class _Application:
    def __init__(self, models: list[Served]) -> None:
        self._models = {f"/v2/models/{model.name}/infer": model for model in models}

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        model = self._models.get(scope["path"])
        if model is None:
            await _answer(send, b'{"ready": true}')
            return
        parts, more = [], True
        while more:
            message = await receive()
            parts.append(message.get("body", b""))
            more = message.get("more_body", False)
        header_bytes = int(dict(scope["headers"])[LENGTH.lower().encode()])
        outputs = model.run(from_body(b"".join(parts), header_bytes))
        header, body = to_body(model.name, outputs)
        await _answer(send, header + body, (LENGTH.encode(), str(len(header)).encode()))


async def _answer(send: Send, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [length, *headers]})
    await send({"type": "http.response.body", "body": body})


def main() -> None:
    """Serve until SIGTERM."""
    given = options()
    uvicorn.run(
        _Application(given.load()),  # type: ignore[arg-type]
        host="127.0.0.1",
        port=given.http_port,
        http="httptools",
        loop="uvloop",
        lifespan="off",
        access_log=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
