from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sonic.errors import ConfigError
from sonic.protocol.modelconfig import parse
from sonic.server.backends.devices import amd_gpus, nvidia_gpus, place

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "gpus", "cores", "placed"),
    [
        ("", 0, 3, [None] * 3),
        ("", 2, 3, [0, 1]),
        ("instance_group { count: 2 kind: KIND_CPU }", 2, 8, [None] * 2),
        ("instance_group { count: 9 kind: KIND_CPU }", 0, 4, [None] * 4),
        ("instance_group { count: 2 kind: KIND_GPU }", 2, 1, [0, 0, 1, 1]),
        ("instance_group { count: 2 kind: KIND_GPU gpus: [ 1 ] }", 2, 1, [1, 1]),
        ("instance_group { count: 2 kind: KIND_GPU gpus: [ 1 ] }", 0, 4, [None] * 2),
        ("instance_group { count: 1 }", 1, 4, [0]),
        ("instance_group { count: 1 }", 0, 4, [None]),
        ("instance_group { count: 1 gpus: [ 1 ] }", 2, 4, [1]),
        ("instance_group { count: 1 gpus: [ 1 ] }", 0, 4, [None]),
        (
            "instance_group { count: 1 kind: KIND_GPU } instance_group { count: 2 kind: KIND_CPU }",
            1,
            8,
            [0, None, None],
        ),
    ],
)
def test_instances_go_where_their_groups_say(text: str, gpus: int, cores: int, placed: list[int | None]) -> None:
    assert place(parse(text), "m", gpus=gpus, cores=cores) == placed


def test_threads_count(caplog: pytest.LogCaptureFixture) -> None:
    assert place(parse("instance_group { count: 9 }"), "m", gpus=0, cores=8, threads=3) == [None] * 2
    assert place(parse(""), "m", gpus=0, cores=2, threads=3) == [None]
    assert not caplog.records


def test_a_gpu_that_is_not_there_is_said(caplog: pytest.LogCaptureFixture) -> None:
    place(parse("instance_group { kind: KIND_GPU }"), "m", gpus=0, cores=1)
    assert "model 'm' asks for a GPU" in caplog.text


def test_a_gpu_that_has_to_be_there() -> None:
    group = parse('instance_group { name: "g" kind: KIND_GPU }')
    with pytest.raises(ConfigError, match="instance group 'g' asks for a GPU: no driver"):
        place(group, "m", gpus=0, cores=1, without="no driver")
    assert place(parse("instance_group { kind: KIND_AUTO }"), "m", gpus=0, cores=1, without="no driver") == [None]


def test_what_makes_no_sense() -> None:
    with pytest.raises(ConfigError, match="names GPU 2: there are 0 to 1"):
        place(parse("instance_group { kind: KIND_GPU gpus: 2 }"), "m", gpus=2, cores=1)
    with pytest.raises(ConfigError, match="KIND_MODEL"):
        place(parse("instance_group { kind: KIND_MODEL }"), "m", gpus=2, cores=1)


def test_gpus_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert nvidia_gpus(tmp_path / "none") == 0
    for name in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / name).mkdir()
    assert nvidia_gpus(tmp_path) == 2


@pytest.mark.parametrize(
    ("visible", "count"),
    [
        ("1", 1), ("", 0), ("0, 1", 2), ("3,1,0", 3), ("-1", 0), ("NoDevFiles", 0), ("7", 0), ("0,-1,1", 1),
        ("0,,1", 1), ("0,1,4", 2), ("0,0", 0), ("0,00", 0), ("GPU-a,GPU-b", 2), ("GPU-a,GPU-a", 0), ("MIG-a", 1),
    ],
)  # fmt: skip
def test_gpus_are_left_out_as_cuda_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, visible: str, count: int
) -> None:
    for number in range(4):
        (tmp_path / str(number)).mkdir()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert nvidia_gpus(tmp_path) == count


def test_gpus_of_amd_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HIP_VISIBLE_DEVICES", raising=False)
    assert amd_gpus(tmp_path / "none") == 0
    for node, number in (("0", "0"), ("1", "4096"), ("2", "8192")):
        (tmp_path / node).mkdir()
        (tmp_path / node / "gpu_id").write_text(f"{number}\n")
    assert amd_gpus(tmp_path) == 2
    monkeypatch.setenv("HIP_VISIBLE_DEVICES", "1")
    assert amd_gpus(tmp_path) == 1
