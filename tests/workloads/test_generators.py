from __future__ import annotations

import pytest

from sonic.errors import ConfigError
from sonic.framework.options import options
from sonic.workloads import generators


@pytest.mark.parametrize("name", generators.known())
def test_each_installed_one_can_be_asked_for_its_options(name: str):
    generator = generators.find(name)
    assert generators.about(generator)
    options(generator)


def test_an_unknown_one():
    with pytest.raises(ConfigError, match=r"no generator 'minaod'; similar: miniaod; installed: .*tracking"):
        generators.find("minaod")
