"""The page for users of SONIC in CMSSW names tests; they must be there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sonic.testing import conformance

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "docs" / "cmssw.md").read_text()
NAMED = re.findall(r"`([\w./]+)::(test_\w+)`", PAGE)


def rows() -> list[list[str]]:
    lines = [line for line in PAGE.splitlines() if line.startswith("|") and not line.startswith("|---")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize("file", sorted({file for file, _ in NAMED}))
def test_every_test_that_is_named_is_there(file: str) -> None:
    source = conformance.__file__ if file == "sonic.testing.conformance" else TESTS / file
    there = set(re.findall(r"def (test_\w+)\(", Path(source).read_text()))
    assert sorted({test for named, test in NAMED if named == file} - there) == []


def test_every_row_is_held_by_a_test_or_says_that_it_is_not_there() -> None:
    for row in rows():
        assert len(row) == 3, row
        assert "::test_" in row[2] or row[2] == "held by" or row[1] == "not there yet", row
