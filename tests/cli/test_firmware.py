from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from sonic.cli import app
from sonic.firmware.build import build as build_firmware
from sonic.firmware.network import Activation, Dense, Network
from sonic.firmware.precision import Precision

RUN = CliRunner()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("da4ml")
    weight = np.random.default_rng(1).normal(size=(3, 2))
    network = Network("n", "x", (3,), (Dense("d", ("x",), weight, np.zeros(2)), Activation("r", ("d",), "relu")))
    made: Path = tmp_path_factory.mktemp("firmware") / "n"
    build_firmware(network, Precision(), made, route="da4ml")
    return made


def test_build_and_verify(tmp_path: Path) -> None:
    pytest.importorskip("da4ml")
    pytest.importorskip("torch")
    made = tmp_path / "jets"
    options = ["--weights", "random", "--backend", "da4ml", "--precision", "fixed<8,4>"]
    result = RUN.invoke(app, ["firmware", "build", "facile-fpga", "--to", str(made), *options])
    assert result.exit_code == 0, result.output
    assert "luts" in result.output
    again = RUN.invoke(app, ["firmware", "build", "facile-fpga", "--to", str(made), *options])
    assert again.exit_code == 1
    assert "is there already" in again.output


def test_search_finds_numbers_to_build_with(tmp_path: Path) -> None:
    pytest.importorskip("da4ml")
    pytest.importorskip("torch")
    pytest.importorskip("matplotlib")
    rows, numbers, picture = tmp_path / "x.npy", tmp_path / "numbers.json", tmp_path / "cost.png"
    np.save(rows, np.random.default_rng(1).normal(size=(40, 18)))
    options = [
        "--weights",
        "random",
        "--data",
        str(rows),
        "--to",
        str(numbers),
        "--plot",
        str(picture),
        "--error",
        "0.2",
    ]
    result = RUN.invoke(app, ["firmware", "search", "facile-fpga", *options])
    assert result.exit_code == 0, result.output
    assert picture.read_bytes().startswith(b"\x89PNG")
    options += ["--to", str(tmp_path / "others.json"), "--plot", str(tmp_path / "cost.nothing"), "--error", "0.9"]
    result = RUN.invoke(app, ["firmware", "search", "facile-fpga", *options])
    assert result.exit_code == 1
    assert "cost.nothing could not be written" in "".join(result.output.split("\n"))
    nowhere = str(tmp_path / "nowhere" / "file")  # is found out before anything is read
    for verb in (["search", "nothing.onnx", "--data", "none.npy", "--to"], ["verify", "nothing", "--report"]):
        result = RUN.invoke(app, ["firmware", *verb, nowhere])
        assert result.exit_code == 1
        assert "there is no folder" in " ".join(result.output.split())
    build = ["--weights", "random", "--backend", "da4ml", "--precision", str(numbers)]
    result = RUN.invoke(app, ["firmware", "build", "facile-fpga", "--to", str(tmp_path / "made"), *build])
    assert result.exit_code == 0, result.output
    packed = tmp_path / "made.tar.gz"
    assert RUN.invoke(app, ["firmware", "pack", str(tmp_path / "made"), str(packed)]).exit_code == 0
    result = RUN.invoke(app, ["firmware", "unpack", str(packed), str(tmp_path / "again")])
    assert result.exit_code == 0, result.output
    options = ["--rows", "5", "--numbers", str(numbers), "--report", str(tmp_path / "r.md")]
    assert RUN.invoke(app, ["firmware", "verify", str(tmp_path / "again"), *options]).exit_code == 0
    assert "(r-cost.png)" in (tmp_path / "r.md").read_text()


def test_verify_reports(folder: Path, tmp_path: Path) -> None:
    data, report = tmp_path / "x.npy", tmp_path / "report.json"
    np.save(data, np.ones((4, 3)))
    result = RUN.invoke(
        app, ["firmware", "verify", str(folder), "--data", str(data), "--rows", "9", "--report", str(report)]
    )
    assert result.exit_code == 0, result.output
    assert "exact" in result.output
    assert json.loads(report.read_text())["exact"] is True


def test_report_has_pictures(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    options = ["--rows", "9", "--report", str(tmp_path / "r.md"), "--plot", str(tmp_path / "distance.png")]
    result = RUN.invoke(app, ["firmware", "verify", str(folder), *options])
    assert result.exit_code == 0, result.output
    assert "da4ml, no registers" in result.output
    assert "█" in result.output
    assert (tmp_path / "r-distance.png").read_bytes() == (tmp_path / "distance.png").read_bytes()


def test_serve_is_one_word(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, object] = {}
    models: list[str] = []

    def serve(repositories: list[str], **options: object) -> None:
        given.update(options)
        models.extend(each.name for each in Path(repositories[0]).glob("*") if (each / "1").is_dir())

    monkeypatch.setattr("sonic.cli.serve.serve", serve)
    result = RUN.invoke(app, ["firmware", "serve", str(folder), "--grpc-port", "0", "--drain-s", "2.5"])
    assert result.exit_code == 0, result.output
    assert models == ["n"]
    assert (given["grpc_port"], given["http_port"], given["drain_s"]) == (0, 8000, 2.5)


def test_what_is_wrong_is_said(folder: Path, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    trained, wrong = tmp_path / "trained.onnx", tmp_path / "wrong.npy"
    numbers = [onnx.numpy_helper.from_array(np.float32(n), name) for name, n in (("s", 0.5), ("z", 0), ("b", 6))]
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", 3]) for name in ("x", "y")]
    node = onnx.helper.make_node("Quant", ["x", "s", "z", "b"], ["q"], domain="qonnx.custom_op.general", narrow=0)
    graph = onnx.helper.make_graph(
        [node, onnx.helper.make_node("Relu", ["q"], ["y"])], "g", ends[:1], ends[1:], numbers
    )
    opsets = [onnx.helper.make_opsetid(name, version) for name, version in (("", 17), (node.domain, 1))]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets), trained)
    np.save(wrong, np.ones((4, 5)))
    for arguments, says in (
        (["verify", str(tmp_path)], "holds no firmware"),
        (["verify", str(folder), "--data", str(wrong)], "rows of [3] are expected, given [5]"),
        (["verify", str(folder), "--data", str(tmp_path / "nothing.npy")], "holds no array"),
        (["verify", str(folder), "--numbers", str(tmp_path / "nothing.json")], "holds no search"),
        (["search", str(trained), "--data", str(wrong), "--to", str(tmp_path / "n.json")], "has chosen its numbers"),
        (["serve", str(tmp_path)], "holds no firmware"),
        (["build", "nothing", "--to", str(tmp_path / "a")], "no network 'nothing'"),
        (["build", "jet-mlp", "--to", str(tmp_path / "a"), "--precision", "float"], "no fixed-point type"),
        (["build", "jet-mlp", "--to", str(tmp_path / "a"), "--strategy", "fast"], "latency, resource, da"),
    ):
        result = RUN.invoke(app, ["firmware", *arguments])
        assert result.exit_code == 1
        assert says in " ".join(result.output.split())
