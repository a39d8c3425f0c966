from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

import sonic
from sonic.protocol.modelconfig import parse

if TYPE_CHECKING:
    from pathlib import Path


def test_the_models_of_a_folder(models: Path, sonic_models: Any) -> None:
    done = sonic_models("list", models)
    assert done.exit_code == 0
    header, _, deepmet, echo = [line.split() for line in done.stdout.splitlines()]
    assert header == ["model", "versions", "backend", "batch", "size", "checksums"]
    assert deepmet[:4] == ["deepmet", "1", "onnxruntime", "32"]
    assert echo == ["echo", "1", "identity", "1", "byte", "none"]


def test_a_model_that_cannot_be_read_is_listed_with_the_reason(models: Path, sonic_models: Any) -> None:
    (models / "broken" / "1").mkdir(parents=True)
    (models / "broken" / "config.pbtxt").write_bytes(b"\xff")
    (models / "empty" / "1").mkdir(parents=True)
    done = sonic_models("list", models)
    assert done.exit_code == 0
    names = [line.split()[0] for line in done.stdout.splitlines()[2:]]
    assert names == ["broken", "deepmet", "echo", "empty", "broken:", "empty:"]
    assert "broken: cannot read" in done.stdout
    assert "empty: no backend knows the files in" in done.stdout
    rows = json.loads(sonic_models("list", models, "--json").stdout)
    assert [row["name"] for row in rows if not row["reason"]] == ["deepmet", "echo"]


def test_the_models_of_a_folder_as_json(models: Path, sonic_models: Any) -> None:
    rows = json.loads(sonic_models("list", models, "--json").stdout)
    assert [(row["name"], row["versions"], row["backend"], row["state"]) for row in rows] == [
        ("deepmet", ["1"], "onnxruntime", ""),
        ("echo", ["1"], "identity", ""),
    ]


def test_a_model_s_folder(models: Path, sonic_models: Any) -> None:
    done = sonic_models("show", models / "deepmet")
    assert done.exit_code == 0, done.output
    words = [line.split() for line in done.stdout.splitlines()]
    assert ["backend", "onnxruntime", "(onnxruntime_onnx)"] in words
    assert ["input", "input", "FP32", "[-1,", "4500,", "8]"] in words
    assert ["output", "output", "FP32", "[-1,", "2]"] in words
    assert any(line[:1] == ["1/model.onnx"] for line in words)


def test_as_json_and_as_configuration(models: Path, sonic_models: Any) -> None:
    document = json.loads(sonic_models("show", models / "echo", "--json").stdout)
    assert document["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1], "optional": False}]
    assert document["config"]["backend"] == "identity"
    assert document["files"][0]["found"] == "0cc175b9c0f1b6a831c399e269772661"
    config = parse(sonic_models("show", models / "echo", "--pbtxt").stdout)
    assert (config.name, config.version_policy.latest.num_versions) == ("echo", 1)
    done = sonic_models("show", models / "echo", "--pbtxt", "--json")
    assert (done.exit_code, done.stderr.strip()) == (1, "sonic: --json and --pbtxt do not go together")


def test_what_is_wrong_is_said_beside(models: Path, sonic_models: Any) -> None:
    (models / "deepmet" / "1" / "model.onnx").write_text("none")
    done = sonic_models("show", models / "deepmet")
    assert done.exit_code == 0
    changed, unreadable = done.stderr.splitlines()
    assert changed.startswith("deepmet: file '1/model.onnx' has MD5 ")
    assert unreadable.startswith("deepmet: ONNX Runtime cannot load ")
    assert "up to 32 rows" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["show", "/absent"], "/absent is no folder, no URL of a server, and no network that ships with Sonic"),
        (["show", "absent"], "absent is no folder, no URL of a server, and no network that ships with Sonic"),
        (["list", "/absent"], "/absent is no folder"),
        (["show", "grpc://localhost:1"], "names no model"),
        (["list", "grpc://localhost:1/m"], "names a model"),
        (["list", "ftp://localhost:1"], "is not a URL of a server"),
    ],
)
def test_places_that_are_none(arguments: list[str], says: str, sonic_models: Any) -> None:
    done = sonic_models(*arguments)
    assert done.exit_code == 1
    assert says in done.stderr
    assert done.stderr.startswith("sonic: ")
    assert done.stderr.count("\n") == 1


def test_a_folder_of_several_is_not_one_model(models: Path, sonic_models: Any) -> None:
    done = sonic_models("show", models)
    assert done.stderr.strip() == f"sonic: {models} holds several models, name one: deepmet, echo"


def test_a_network_that_ships(sonic_models: Any) -> None:
    assert "onnxruntime" in sonic_models("show", "deepmet").stdout


def test_a_server(models: Path, sonic_models: Any) -> None:
    (models / "broken" / "1").mkdir(parents=True)
    (models / "broken" / "config.pbtxt").write_text('backend: "onnxruntime"')
    with sonic.serve(models, cores=1, strict=False) as server:
        done = sonic_models("list", server.grpc_url)
        shown = sonic_models("show", f"{server.http_url}/deepmet")
        as_json = sonic_models("list", server.http_url, "--json")
        checked = sonic_models("check", server.grpc_url)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0] == ["model", "state", "versions", "backend", "batch", "checksums"]
    assert lines[2] == ["broken", "unavailable"]
    assert lines[3][:5] == ["deepmet", "ready", "1", "onnxruntime", "32"]
    assert done.stdout.splitlines()[-1].startswith(
        "broken: model 'broken' version 1 cannot be loaded: there is no file"
    )
    assert ["state", "ready"] in [line.split() for line in shown.stdout.splitlines()]
    assert [row["state"] for row in json.loads(as_json.stdout)] == ["UNAVAILABLE", "READY", "READY"]
    assert checked.exit_code == 1
    assert "broken: error: version 1 is unavailable: version 1 cannot be loaded: there is no file" in checked.stdout
    assert "deepmet: ok" in checked.stdout
    done = sonic_models("list", server.grpc_url)
    assert done.exit_code == 1
    assert done.stderr.startswith("sonic: grpc://")
