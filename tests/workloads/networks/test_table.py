from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from sonic.workloads.networks.catalogue import NETWORKS
from sonic.workloads.networks.table import markdown, trained

PAGE = Path(__file__).parents[3] / "docs" / "howto" / "zoo.md"


def test_the_page_has_the_table():
    table = markdown()
    assert table in PAGE.read_text()
    assert len(table.splitlines()) == len(NETWORKS) + 2
    assert "| `facile-v2` | energy of hadron-calorimeter channels | 36,041 + 188 | `input` 47 |" in table
    assert "`edges` 2\N{MULTIPLICATION SIGN}edges int64" in table


def test_the_page_says_what_ships_trained():
    table = trained()
    assert table in PAGE.read_text()
    for network in NETWORKS:
        assert (f"| `{network.name}` | yes |" in table) == network.shipped
        assert (f"| `{network.name}` | no |" in table) == (bool(network.training) and not network.shipped)
