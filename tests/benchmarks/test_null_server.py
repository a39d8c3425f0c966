from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sonic.client.url import connect, parse_server
from sonic.protocol.messages import InferRequest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_what_it_answers_is_an_answer(kind: str) -> None:
    command = [sys.executable, "-m", "benchmarks.null_server", kind]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert process.stdout is not None
        transport = connect(parse_server(f"{kind}://127.0.0.1:{int(process.stdout.readline())}"))
        request = InferRequest("echo", {"x": np.ones((1, 16), np.float32)})
        for _ in range(3):
            assert np.array_equal(transport.submit(request).result(10).outputs["y"], np.zeros((1, 16)))
        transport.close()
    finally:
        process.kill()
        process.communicate()
