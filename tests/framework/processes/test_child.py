from __future__ import annotations

import pickle

import pytest

from sonic.errors import ConfigError, DataError, ModuleError, RateLimited, SonicError
from sonic.framework.processes.child import Failed, Orders


def again(error):
    """Raise and catch it, and send it to another process."""
    try:
        raise error
    except BaseException as caught:  # noqa: BLE001
        return pickle.loads(pickle.dumps(Failed.of(caught))).error()


@pytest.mark.parametrize(
    "error",
    [
        DataError("no such file"),
        ModuleError("tagger", "chunk 3, a.root entries 6:8", ValueError("no jets")),
        RateLimited("your share is used up", wait_s=2.5),
        ConfigError(""),
    ],
)
def test_an_error_of_sonics_is_the_same_in_the_parent(error):
    made = again(error)
    assert type(made) is type(error)
    assert str(made) == str(error)
    plain = {name: value for name, value in vars(made).items() if name != "__notes__"}
    assert plain == vars(error)
    assert "Traceback" in made.__notes__[0]


def test_another_error_says_what_it_said():
    class Unpicklable(Exception):  # noqa: N818
        def __init__(self, a, b):
            super().__init__(lambda: None)

        def __str__(self):
            return "lost\nits way"

    made = again(Unpicklable(1, 2))
    assert not isinstance(made, SonicError)
    assert str(made) == "Unpicklable: lost"
    assert "its way" in made.__notes__[0]


def test_a_workflow_is_made_again_with_its_options(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "from sonic.framework import Workflow\n"
        "def workflow(*, size: int = 7): return Workflow('made', (), keep=(str(size),))\n"
    )
    assert Orders(str(file), ("size=3",), b"", None, None, 0).workflow().keep == ("3",)
