"""Sonic's own transports, over the same ways as everybody's: one suite for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

pytest.register_assert_rewrite("sonic.testing.conformance")

from sonic.client.grpc import GrpcTransport  # noqa: E402 - the suite's assertions are to be rewritten
from sonic.client.http import HttpTransport  # noqa: E402
from sonic.testing.conformance import TransportConformance, write_models  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sonic.client.transport import Transport


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_models(tmp_path_factory.mktemp("models"))


class TestEveryWay(TransportConformance):
    @pytest.fixture(params=[f"{kind}-{how}" for kind in ("grpc", "http") for how in ("unix", "tls", "mtls", "token")])
    def transport(
        self, request: pytest.FixtureRequest, server: Any, models: Path, certificates: Any, token_file: Path
    ) -> Iterator[Transport]:
        kind, _, how = request.param.partition("-")
        running, sockets = server("open" if how == "unix" else how, models)
        url = running.grpc_url if kind == "grpc" else running.http_url
        scheme, _, target = url.partition("://")
        options: dict[str, str] = {}
        if how == "unix":
            scheme, target = f"{kind}+unix", str(sockets / f"{kind[0]}.sock")
        elif how == "token":
            options = {"token_file": str(token_file)}
        else:
            options = {"ca": str(certificates.ca)}
        if how == "mtls":
            options |= {"cert": str(certificates.client_cert), "key": str(certificates.client_key)}
        make = GrpcTransport if kind == "grpc" else HttpTransport
        transport = make(target, scheme=scheme, **options)
        yield transport
        transport.close()
