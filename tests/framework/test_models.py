from __future__ import annotations

import shutil
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sonic.client.fallback import Fallback
from sonic.client.model import Client
from sonic.client.pool import ServerState
from sonic.client.regions import MemoryUse
from sonic.client.settings import CONFIG
from sonic.errors import ConfigError, InvalidRequest, Unauthenticated, WrongModel
from sonic.framework.models import callees_of, connect, fallback_for, serve_own, use_between
from sonic.framework.report import ServerUse
from sonic.protocol.digests import store

OWN: Any = SimpleNamespace(name="mine", models="own")
NONE: Any = SimpleNamespace(name="mine", models=None)


def test_the_workflows_own_models_in_this_process() -> None:
    assert fallback_for(OWN) == Fallback("own")
    assert fallback_for(NONE) is None


def test_what_is_given() -> None:
    assert fallback_for(OWN, "other") == Fallback("other")
    assert fallback_for(OWN, how="child") == Fallback("own", "child")
    assert fallback_for(NONE, "other", "child") == Fallback("other", "child")


def test_settings_come_between(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "client.toml"
    path.write_text('[sonic.fallback]\nfolder = "set"\nhow = "container"\nimage = "triton.sif"\n')
    monkeypatch.setenv(CONFIG, str(path))
    described = Fallback("set", "container", image="triton.sif")
    assert fallback_for(OWN) == fallback_for(NONE) == described
    assert fallback_for(OWN, "other") == Fallback("other", "container", image="triton.sif")
    with pytest.raises(ConfigError, match="image of a fallback is for how='container' alone"):
        fallback_for(OWN, how="child")


def test_a_folder_alone_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SONIC_CLIENT_FALLBACK", "set")
    assert fallback_for(OWN, how="child") == Fallback("set", "child")


def test_no_folder_for_what_is_given() -> None:
    with pytest.raises(ConfigError, match="workflow mine has no models of its own"):
        fallback_for(NONE, how="child")


def test_a_server_must_have_the_very_models(models: Path, tmp_path: Path) -> None:
    shutil.copytree(models / "scorer", tmp_path / "same" / "scorer")
    shutil.copytree(models / "nan", tmp_path / "other" / "scorer")
    for place in ("same", "other"):
        store(tmp_path / place / "scorer")
    workflow: Any = SimpleNamespace(name="mine", models=models)
    for fallback in (None, Fallback(str(models))):
        with ExitStack() as stack:
            same = connect(stack, workflow, [f"local:{tmp_path / 'same'}"], "service", fallback=fallback, timeout_s=30)
            assert same.model("scorer")(x=[[1.0, 2.0]])["y"].shape == (1, 1)
    with ExitStack() as stack:
        other = connect(stack, workflow, [f"local:{tmp_path / 'other'}"], "service", fallback=None, timeout_s=30)
        with pytest.raises(WrongModel, match=r"1/model\.onnx has MD5"):
            other.model("scorer")(x=[[1.0, 2.0]])
    elsewhere: Any = SimpleNamespace(name="mine", models=tmp_path / "absent")
    with ExitStack() as stack:
        other = connect(stack, elsewhere, [f"local:{tmp_path / 'other'}"], "service", fallback=None, timeout_s=30)
        assert other.model("scorer")(x=[[1.0, 2.0]])


def test_a_jobs_own_server_answers_the_job_alone(models: Path) -> None:
    workflow: Any = SimpleNamespace(name="mine", models=models)
    with ExitStack() as stack:
        url = serve_own(stack, workflow)
        job = connect(stack, workflow, [url], "service", fallback=None, timeout_s=30)
        assert job.model("scorer")(x=[[1.0, 2.0]])["y"].shape == (1, 1)
        bare, _, token = url.partition("?token_file=")
        other = stack.enter_context(Client([bare], fallback=False, timeout_s=30))
        with pytest.raises(Unauthenticated):
            other.model("scorer")(x=[[1.0, 2.0]])
        assert (Path(token).parent.stat().st_mode & 0o777) == 0o700
    assert not Path(token).exists()


def test_how_memory_was_shared_between_two_times() -> None:
    idle = ServerState("grpc://h:1", 0, 5, 1, 0.0, memory=MemoryUse(3, 2))
    after = replace(idle, completed=9, failed=2, memory=MemoryUse(6, 3, regions=1, reason="out of shared memory: full"))
    assert use_between(idle, after) == ServerUse("grpc://h:1", 4, 1, 3, 1, "out of shared memory: full")
    assert use_between(replace(idle, memory=None), replace(after, memory=None)) == ServerUse("grpc://h:1", 4, 1)


def test_a_module_names_the_outputs_that_it_wants(models: Path) -> None:
    workflow: Any = SimpleNamespace(name="mine", models=models)
    module: Any = SimpleNamespace(name="Score", model="scorer", version="", outputs=("y",), request_rows=0)
    with ExitStack() as stack:
        client = connect(stack, workflow, [], "direct", fallback=None, timeout_s=30)
        assert callees_of(client, [module])["Score"].submit(x=np.ones((1, 2))).result().keys() == {"y"}
        module.outputs = ("absent",)
        with pytest.raises(
            InvalidRequest,
            match="module Score: unexpected inference output 'absent' for model 'scorer': it has y",
        ):
            callees_of(client, [module])


def test_a_module_says_how_large_a_request_may_be() -> None:
    asked: list[dict[str, Any]] = []

    class Asked:
        def model(self, *names: Any, **options: Any) -> Any:
            asked.append(options)
            return SimpleNamespace(spec=None)

    module: Any = SimpleNamespace(name="Score", model="scorer", version="", outputs=(), request_rows=0)
    callees_of(Asked(), [module])
    module.request_rows = 1720
    callees_of(Asked(), [module])
    assert asked == [{}, {"request_rows": 1720}]
