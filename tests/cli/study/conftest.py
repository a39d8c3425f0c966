from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sonic.study.records import Estimate, Machine, Record
from sonic.study.storage import write

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """A file of 1 to 16 clients at a server for ten, over two protocols; and a point that failed."""
    machine = Machine(system="Linux", processor="some", cores=2)
    common = {"target": "facile", "started": "2026-01-01T00:00:00Z", "machine": machine, "versions": {"sonic": "1"}}
    records = [
        Record(
            **common,  # type: ignore[arg-type]
            settings={"clients": n, "protocol": protocol},
            status="measured",
            throughput=Estimate(rate := min(n, 10) * one, 0.98 * rate, 1.02 * rate),
        )
        for protocol, one in (("grpc", 100.0), ("http", 80.0))
        for n in (1, 2, 4, 6, 8, 12, 16)
    ]
    failed = Record(**common, settings={"clients": 99}, status="failed", reason="the server died")  # type: ignore[arg-type]
    write([*records, failed], tmp_path / "scan.jsonl")
    return tmp_path / "scan.jsonl"
