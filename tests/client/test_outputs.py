from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import numpy as np
import pytest

import sonic
from sonic.errors import ConfigError, InvalidRequest

if TYPE_CHECKING:
    from pathlib import Path

    from sonic.server.app import Server

ARRAYS = {"x": np.ones((20, 3), np.float32), "n": np.arange(20).reshape(20, 1)}
"""Of more rows than the model's largest batch."""


@pytest.mark.parametrize("scheme", ["grpc", "http", "local"])
def test_only_those_that_are_wanted(scheme: str, server: Server, models: Path) -> None:
    url = {"grpc": server.grpc_url, "http": server.http_url, "local": f"local:{models}"}[scheme]
    with sonic.Client([url]) as client:
        model = client.model("echo", outputs=["m"])
        assert [tensor.name for tensor in model.spec.outputs] == ["m"]
        outputs = model(**ARRAYS)
        assert list(outputs) == ["m"]
        assert outputs["m"].ravel().tolist() == list(range(20))
        assert list(model(x=np.ones((0, 3), np.float32), n=np.ones((0, 1), np.int64))) == ["m"]
        assert sorted(client.model("echo")(**ARRAYS)) == ["m", "y"]


def test_a_model_of_its_own_takes_them_along(server: Server) -> None:
    with sonic.Model(f"{server.grpc_url}/echo", outputs=("y",)) as model:
        assert list(model(**ARRAYS)) == ["y"]
        again = pickle.loads(pickle.dumps(model))
        assert list(again(**ARRAYS)) == ["y"]


def test_a_name_that_there_is_not(server: Server) -> None:
    with sonic.Model(f"{server.grpc_url}/echo", outputs=("y", "z")) as model:
        with pytest.raises(InvalidRequest, match="output 'z' for model 'echo': it has y, m"):
            _ = model.spec
        with pytest.raises(InvalidRequest, match="output 'z' for model 'echo'"):
            model(**ARRAYS)
    with pytest.raises(ConfigError, match="outputs is a sequence of names, given the one text 'y'"):
        sonic.Model("grpc://localhost:1/m", outputs="y")
