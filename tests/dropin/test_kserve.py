"""KServe's clients, unmodified, in a process of their own: their messages have the names of tritonclient's."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(find_spec("kserve") is None, reason="KServe is not installed")

_BEGIN = """
import asyncio, json, sys
import numpy as np
from kserve import InferInput, InferRequest, InferenceGRPCClient, InferenceRESTClient, RESTConfig

FIRST = np.arange(16, dtype=np.int32).reshape(1, 16)

def request(model="simple", binary=True):
    inputs = [InferInput(f"INPUT{i}", [1, 16], "INT32") for i in (0, 1)]
    for tensor in inputs:
        tensor.set_data_from_numpy(FIRST, binary_data=binary)
    return InferRequest(model, inputs, request_id="7")

def read(response):
    outputs = {output.name: output.as_numpy().ravel().tolist() for output in response.outputs}
    return {"id": response.id, "model": response.model_name, "outputs": outputs}

async def error_of(call):
    try:
        await call
    except Exception as error:
        return str(error)
"""

_GRPC = (
    _BEGIN
    + """
async def main(url, **options):
    async with InferenceGRPCClient(url, **options) as client:
        return {
            "live": await client.is_server_live(),
            "ready": await client.is_server_ready(),
            "model": [await client.is_model_ready(name) for name in ("simple", "wrong_model_name")],
            "answers": [read(await client.infer(request(binary=binary))) for binary in (True, False)],
            "error": await error_of(client.infer(request("wrong_model_name"))),
        }

print(json.dumps(asyncio.run(main(sys.argv[1], **json.loads(sys.argv[2])))))
"""
)

_REST = (
    _BEGIN
    + """
async def main(url):
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    try:
        return {
            "live": await client.is_server_live(url),
            "ready": await client.is_server_ready(url),
            "model": [await client.is_model_ready(url, name) for name in ("simple", "wrong_model_name")],
            "answers": [read(await client.infer(url, request(binary=binary), "simple")) for binary in (True, False)],
            "error": await error_of(client.infer(url, request(), "wrong_model_name")),
        }
    finally:
        await client.close()

print(json.dumps(asyncio.run(main(sys.argv[1]))))
"""
)


def run(code: str, *arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def check(said: dict[str, Any]) -> None:
    assert (said["live"], said["ready"], said["model"]) == (True, True, [True, False])
    for answer in said["answers"]:
        assert (answer["id"], answer["model"]) == ("7", "simple")
        assert answer["outputs"] == {"OUTPUT0": [2 * n for n in range(16)], "OUTPUT1": [0] * 16}
    assert "Request for unknown model: 'wrong_model_name' is not found" in said["error"]


@pytest.mark.parametrize("security", ["open", "tls", "mtls"])
def test_over_grpc(security: str, server: Any, certificates: Any) -> None:
    options: dict[str, Any] = {}
    if security != "open":
        options = {"use_ssl": True, "root_certificates": str(certificates.ca)}
    if security == "mtls":
        options |= {
            "private_key": str(certificates.client_key),
            "certificate_chain": str(certificates.client_cert),
        }
    running, _ = server(security)
    check(run(_GRPC, running.grpc_url.partition("//")[2], json.dumps(options)))


def test_over_http(server: Any) -> None:
    check(run(_REST, server("open")[0].http_url))
