from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from sonic.client.fallback import Fallback
from sonic.errors import ConfigError


def test_a_path_is_a_folder_for_this_process() -> None:
    fallback = Fallback.of(Path("models"))
    assert fallback == Fallback("models") == Fallback.of(fallback)
    assert (fallback.folder, fallback.how, fallback.url) == ("models", "inprocess", "local:models")


def test_it_is_a_value() -> None:
    given = {"image": "triton.sif", "cores": 2}
    fallback = Fallback("models", "container", options=["--log-verbose=1"], **given)  # type: ignore[arg-type]
    assert fallback.options == ("--log-verbose=1",)
    assert pickle.loads(pickle.dumps(fallback)) == fallback
    assert len({fallback, Fallback("models", "container", options=("--log-verbose=1",), **given)}) == 1  # type: ignore[arg-type]
    assert fallback.url == "local:models (container)"


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"folder": ""}, "folder of a fallback is a folder of models; given ''"),
        ({"how": "elsewhere"}, "how of a fallback is one of inprocess, child, container; given elsewhere"),
        ({"how": "container"}, "image of a fallback is needed to run a container; given none"),
        ({"how": "container", "image": "i", "command": ()}, "command of a fallback is what the container is to run"),
        ({"how": "container", "image": "i", "engine": "lxc"}, "engine of a fallback is one of auto, apptainer, docker"),
        ({"how": "child", "image": "i"}, "image of a fallback is for how='container' alone; given i"),
        ({"engine": "docker"}, "engine of a fallback is for how='container' alone; given docker"),
        ({"options": ("-v",)}, r"options of a fallback is for a server of its own; given \('-v',\)"),
        ({"how": "child", "options": "-v"}, "options of a fallback is a sequence of texts; given -v"),
        ({"cores": 0}, "cores of a fallback is at least 1, or None; given 0"),
        ({"start_timeout_s": 0.0}, r"start_timeout_s of a fallback is above 0, below 1e\+09; given 0.0"),
        ({"start_timeout_s": float("inf")}, "start_timeout_s of a fallback is .*; given inf"),
        ({"restarts": -1}, "restarts of a fallback is at least 0; given -1"),
        ({"restart_pause_s": -1.0}, "restart_pause_s of a fallback is at least 0; given -1.0"),
    ],
)
def test_what_makes_no_sense(given: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        Fallback(**{"folder": "models", **given})
