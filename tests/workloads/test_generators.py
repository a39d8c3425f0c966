from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from sonic.errors import ConfigError
from sonic.framework.options import options
from sonic.workloads import generators

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", generators.known())
def test_each_installed_one_can_be_asked_for_its_options(name: str):
    generator = generators.find(name)
    assert generators.about(generator)
    options(generator)


@pytest.mark.parametrize("name", generators.known())
def test_numbers_that_make_no_sense_are_an_error_and_no_file(name: str, tmp_path: Path):
    generator = generators.find(name)
    for option in options(generator):
        for wrong in {int: [-1], float: [-1.0, math.nan, math.inf]}.get(option.kind, []):
            with pytest.raises(ConfigError):
                generator(tmp_path / "events.root", 1, 1, **{option.name: wrong})
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_one():
    with pytest.raises(ConfigError, match=r"no generator 'minaod'; similar: miniaod; installed: .*tracking"):
        generators.find("minaod")
