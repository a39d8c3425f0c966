from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import sonic

if TYPE_CHECKING:
    from pathlib import Path


def test_models_in_order(models: Path, sonic_models: Any) -> None:
    done = sonic_models("check", models)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert "echo: ok" in lines
    assert "echo: note: it has no checksums: sonic models checksum --write adds them" in lines


def test_one_line_a_problem(models: Path, sonic_models: Any) -> None:
    config = models / "echo" / "config.pbtxt"
    config.write_text(config.read_text() + 'name: "other"\nunknown: 1\nmax_batch_size: -3\n')
    done = sonic_models("check", models / "echo")
    assert done.exit_code == 1
    problems = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert len(problems) == 3
    assert all(line.startswith("echo: error: ") for line in problems)
    rows = json.loads(sonic_models("check", models / "echo", "--json").stdout)
    assert [row["level"] for row in rows].count("error") == 3
    assert set(rows[0]) == {"model", "text", "level"}


def test_against_a_server(models: Path, tmp_path_factory: Any, sonic_models: Any) -> None:
    served = tmp_path_factory.mktemp("served")
    shutil.copytree(models / "echo", served / "echo")
    assert sonic_models("checksum", served, "--write").exit_code == 0
    with sonic.serve(served, cores=1) as server:
        assert sonic_models("check", models / "echo", "--server", server.grpc_url).exit_code == 0
        (models / "echo" / "1" / "table").write_text("b")
        done = sonic_models("check", models, "--server", server.http_url)
    assert done.exit_code == 1
    assert f"echo: error: on {server.http_url}: 1/table has MD5 0cc175b9c0f1b6a831c399e269772661" in done.stdout
    assert "deepmet: error: " in done.stdout
    done = sonic_models("check", server.grpc_url, "--server", server.grpc_url)
    assert "--server goes with a folder" in done.stderr


def test_digests_are_shown_written_and_verified(models: Path, sonic_models: Any) -> None:
    assert sonic_models("checksum", models, "--write").exit_code == 0
    done = sonic_models("checksum", models, "--verify")
    assert done.exit_code == 0
    assert "0cc175b9c0f1b6a831c399e269772661  MD5  echo/1/table  ok" in done.stdout.splitlines()
    assert sonic_models("check", models).stdout.splitlines() == ["deepmet: ok", "echo: ok"]
    (models / "echo" / "1" / "table").write_text("b")
    (models / "echo" / "1" / "more").write_text("b")
    done = sonic_models("checksum", models / "echo", "--verify")
    assert done.exit_code == 1
    assert done.stdout.splitlines() == [
        "92eb5ffee6ae2fec3ad71c777531578f  MD5  echo/1/more  not stored",
        "92eb5ffee6ae2fec3ad71c777531578f  MD5  echo/1/table  differs, stored is 0cc175b9c0f1b6a831c399e269772661",
    ]
    done = sonic_models("checksum", models, "--write")
    assert done.exit_code == 1
    assert "belongs into a new version" in done.stderr
    assert sonic_models("checksum", models, "--write", "--force", "--algorithm", "sha256").exit_code == 0
    done = sonic_models("checksum", models, "--verify")
    assert done.exit_code == 0
    assert done.stdout.count("SHA256") == 3


def test_a_model_that_cannot_be_read_keeps_no_other_from_its_digests(models: Path, sonic_models: Any) -> None:
    config = models / "deepmet" / "config.pbtxt"
    config.write_text("input {")
    for options in ([], ["--write"], ["--verify"]):
        done = sonic_models("checksum", models, *options)
        assert done.exit_code == 1
        assert done.stderr.startswith(f"deepmet: error: {config.resolve()}:1:")
        assert [line.split()[2] for line in done.stdout.splitlines()] == ["echo/1/table"]
    assert config.read_text() == "input {"
    assert sonic_models("checksum", models / "echo", "--verify").exit_code == 0


def test_real_models(shared_data: Path, tmp_path: Path, sonic_models: Any) -> None:
    for name in ("pn_test", "exatrkx_gnn"):
        (tmp_path / name / "1").mkdir(parents=True)
        for file in ("config.pbtxt", "1/model.pt"):
            (tmp_path / name / file).write_bytes((shared_data / "models" / name / file).read_bytes())
    before = (tmp_path / "pn_test" / "config.pbtxt").read_text()
    assert sonic_models("checksum", tmp_path, "--write").exit_code == 0
    assert (tmp_path / "pn_test" / "config.pbtxt").read_text().startswith(before)
    assert sonic_models("checksum", tmp_path, "--verify").exit_code == 0
    weights = bytearray((tmp_path / "pn_test" / "1" / "model.pt").read_bytes())
    weights[len(weights) // 2] ^= 1
    (tmp_path / "pn_test" / "1" / "model.pt").write_bytes(weights)
    done = sonic_models("check", tmp_path / "pn_test")
    assert done.exit_code == 1
    assert "pn_test: error: file '1/model.pt' has MD5 " in done.stdout


def test_of_a_server_there_are_no_files_to_look_at(sonic_models: Any) -> None:
    done = sonic_models("checksum", "grpc://localhost:8001")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "grpc://localhost:8001 is a server, of whose models the files are not to be had" in done.stderr


def test_options_that_make_no_sense(models: Path, sonic_models: Any) -> None:
    for options, says in (
        (["--write", "--verify"], "--write and --verify do not go together"),
        (["--force"], "--force goes with --write"),
        (["--algorithm", "crc"], "--algorithm crc: one of MD5, SHA256"),
    ):
        done = sonic_models("checksum", models, *options)
        assert (done.exit_code, done.stderr.strip()) == (1, f"sonic: {says}")
