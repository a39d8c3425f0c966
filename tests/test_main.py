from __future__ import annotations

import sys
from types import ModuleType

import pytest

from sonic.__main__ import main


def test_ctrl_c_while_the_command_line_is_loaded(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    class Loading(ModuleType):
        def __getattr__(self, name: str) -> object:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "sonic.cli", Loading("sonic.cli"))
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 130
    assert capsys.readouterr().err == "sonic: interrupted\n"
