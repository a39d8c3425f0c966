from __future__ import annotations

import pytest

from sonic.cli._run_table import _count, _row
from sonic.framework.ledger import Account
from sonic.framework.report import ModuleReport


def test_a_module_has_its_time_and_its_share():
    module = ModuleReport("jets", "producer", 2, 20, None, 0.25, 0.3)
    assert _row(module, 0.254) == ("jets", "20", "0.250 s", "25 %")
    offload = Account(external_ns=2 * 10**9).offload("m", "", "async", None)
    tagger = ModuleReport("tagger", "offload", 2, 20, None, 0.1, 0.2, offload)
    assert _row(tagger, 0.004)[:6] == ("tagger", "20", "0.100 s", "0 %", "2.000 s", "0 %")


@pytest.mark.parametrize(
    ("number", "text"), [(25, "25"), (1.25, "1.25"), (999.6, "1k"), (31_680, "31.7k"), (2_500_000, "2.5M")]
)
def test_large_numbers_are_short(number: float, text: str):
    assert _count(number) == text
