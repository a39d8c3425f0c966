"""Requests of the benchmark against a server of Sonic, in this process."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

import sonic
from benchmarks.server import floor, h2load, wire
from benchmarks.server.cases import CASES
from benchmarks.server.measure import check
from benchmarks.server.processes import Target

if TYPE_CHECKING:
    from pathlib import Path

CASE = next(case for case in CASES if case.name == "dense16")


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wire")
    model = CASE.write(folder / "models")
    sockets = {kind: folder / f"{kind}.sock" for kind in ("grpc", "http")}
    with sonic.serve(folder / "models", grpc_socket=sockets["grpc"], http_socket=sockets["http"]) as server:
        target = Target(
            "sonic",
            0,
            server.grpc_url.removeprefix("grpc://"),
            server.http_url.removeprefix("http://"),
            str(sockets["grpc"]),
            str(sockets["http"]),
            shm=True,
        )
        yield target, floor.right_outputs(CASE, model)


@pytest.mark.parametrize("name", wire.TRANSPORTS)
def test_a_request_is_answered_by_each_way(name: str, served, tmp_path: Path) -> None:
    target, outputs = served
    way = wire.TRANSPORTS[name]
    with wire.region(CASE, target, outputs) as region:
        shared = region if way.shm else None
        request = wire.write(CASE, way, target, tmp_path, shared)
        answer_bytes = wire.ask(request, outputs, shared)
        assert answer_bytes == wire.ask(request, outputs, shared)
    assert name == way.name
    assert request.body.stat().st_size > CASE.request_bytes or way.shm


def test_a_request_with_shared_memory_is_small_whatever_its_tensors(served, tmp_path: Path) -> None:
    target, outputs = served
    large = replace(CASE, shapes={"in": (16000, 15)})
    with wire.region(large, target, outputs) as region:
        for name in ("grpc-shm", "http-shm"):
            assert wire.write(large, wire.TRANSPORTS[name], target, tmp_path, region).body.stat().st_size < 500


@pytest.mark.parametrize("name", wire.TRANSPORTS)
def test_a_wrong_answer_is_told_from_a_right_one(name: str, served, tmp_path: Path) -> None:
    target, outputs = served
    way = wire.TRANSPORTS[name]
    wrong = {name: array + 1 for name, array in outputs.items()}
    with wire.region(CASE, target, outputs) as region:
        shared = region if way.shm else None
        request = wire.write(CASE, way, target, tmp_path, shared)
        with pytest.raises(wire.WrongAnswerError, match="output 'out' is off by 1"):
            wire.ask(request, wrong, shared)


@pytest.mark.parametrize("name", ["grpc", "http"])
def test_an_answer_of_another_shape_is_wrong(name: str, served, tmp_path: Path) -> None:
    target, _ = served
    request = wire.write(CASE, wire.TRANSPORTS[name], target, tmp_path, None)
    with pytest.raises(wire.WrongAnswerError, match=r"has the shape \[15, 1\], given \[16, 1\]"):
        wire.ask(request, {"out": np.zeros((15, 1), np.float32)}, None)


@pytest.mark.parametrize("name", ["grpc", "http"])
def test_an_error_is_no_answer(name: str, served, tmp_path: Path) -> None:
    target, outputs = served
    unknown = replace(CASE, name="absent")
    request = wire.write(unknown, wire.TRANSPORTS[name], target, tmp_path, None)
    with pytest.raises(RuntimeError, match="absent"):
        wire.ask(request, outputs, None)


def test_a_server_that_ends_meanwhile_fails_its_case_and_not_the_run(served, tmp_path: Path) -> None:
    _, outputs = served
    CASE.write(tmp_path)
    with sonic.serve(tmp_path) as server:
        target = Target("it", 0, server.grpc_url.removeprefix("grpc://"), shm=True)
        with pytest.raises(RuntimeError, match="it kept shared memory"), wire.region(CASE, target, outputs):
            server.close()
    with pytest.raises(RuntimeError, match="it refused shared memory"), wire.region(CASE, target, outputs):
        pass


def test_a_server_without_sockets_or_shared_memory_offers_two_ways() -> None:
    target = Target("other", 0, grpc="h:1", http="h:2")
    assert [name for name, way in wire.TRANSPORTS.items() if way.reaches(target)] == ["grpc", "http"]


@pytest.mark.skipif(shutil.which("h2load") is None, reason="h2load is not installed")
@pytest.mark.parametrize("name", ["grpc", "http", "grpc-unix", "http-unix"])
def test_errors_under_load_are_told_from_answers(name: str, served, tmp_path: Path) -> None:
    target, outputs = served
    cores = sorted(os.sched_getaffinity(0))
    request = wire.write(CASE, wire.TRANSPORTS[name], target, tmp_path, None)
    answer_bytes = wire.ask(request, outputs, None)
    check(h2load.run(request, 2, 1.0, cores), answer_bytes, clients=2)

    failing = wire.write(replace(CASE, name="absent"), wire.TRANSPORTS[name], target, tmp_path, None)
    with pytest.raises(wire.WrongAnswerError):
        check(h2load.run(failing, 2, 0.3, cores), answer_bytes, clients=2)
