"""What `make demo` does when it is cut short; that it works is for itself to show."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sonic.errors import ConfigError

if TYPE_CHECKING:
    from types import ModuleType


@pytest.fixture
def demo() -> ModuleType:
    spec = spec_from_file_location("demo", Path(__file__).parents[1] / "demo" / "demo.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("raised", "status", "says"), [(KeyboardInterrupt(), 130, ""), (ConfigError("[x]"), 1, "demo: [x]\n")]
)
def test_it_ends_without_a_traceback(
    demo: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    raised: BaseException,
    status: int,
    says: str,
) -> None:
    def cut_short() -> None:
        raise raised

    monkeypatch.setattr(demo, "the_sample", cut_short)
    assert demo.main() == status
    assert capsys.readouterr().out == says
