from __future__ import annotations

import sys
from dataclasses import replace
from textwrap import dedent

import pytest

from sonic.errors import ConfigError, WorkflowError
from sonic.framework import Filter, Offload, OffloadFilter, Producer, Workflow
from sonic.framework.workflow import known, load

GOOD = """
    from sonic.framework import Producer, Workflow

    class Make(Producer):
        produces = ("y",)

        def produce(self, events):
            return {}

    workflow = Workflow("mine", (Make(),))
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])

    def make(text, name="mine.py"):
        path = tmp_path / name
        path.write_text(dedent(text))
        return str(path)

    return make


def test_a_file(write):
    workflow = load(write(GOOD))
    assert workflow.name == "mine"
    assert workflow.keep == ("*",)
    assert [module.name for module in workflow.modules] == ["Make"]


def test_what_was_found_can_be_found_again_elsewhere(write, tmp_path, monkeypatch):
    write(GOOD)
    monkeypatch.chdir(tmp_path)
    found = load("mine.py")
    assert found.origin == str(tmp_path / "mine.py")
    assert load(known()[0]).origin == known()[0]
    assert replace(found, keep=()).origin == ""  # it is another one
    assert Workflow("made", ()).origin == ""


def test_a_function_that_makes_one(write):
    assert (
        load(write("from sonic.framework import Workflow\ndef workflow(): return Workflow('made', ())")).name == "made"
    )


def test_options_are_arguments_of_the_function(write):
    text = """
        from sonic.framework import Workflow
        def workflow(*, name: str = "made", size: int = 7): return Workflow(name, (), keep=(str(size),))
    """
    assert load(write(text)).name == "made"
    chosen = load(write(text), ["size=3", "name=other"])
    assert (chosen.name, chosen.keep, chosen.options) == ("other", ("3",), ("size=3", "name=other"))
    with pytest.raises(ConfigError, match="no option 'sizes'; similar: size: there are name=made, size=7"):
        load(write(text), ["sizes=3"])
    with pytest.raises(ConfigError, match=r"mine\.py has no options: its `workflow` is not a function"):
        load(write(GOOD), ["size=3"])


def test_a_file_finds_what_lies_beside_it(write, tmp_path):
    write("NAME = 'from beside'", "helper_beside.py")
    assert load(
        write("from helper_beside import NAME\nfrom sonic.framework import Workflow\nworkflow = Workflow(NAME, ())")
    ).name == ("from beside")
    (tmp_path / "models").mkdir()
    relative = write("from sonic.framework import Workflow\nworkflow = Workflow('a', (), models='models')")
    assert load(relative).models == tmp_path / "models"
    elsewhere = write("from sonic.framework import Workflow\nworkflow = Workflow('a', (), models='elsewhere')")
    assert load(elsewhere).models == "elsewhere"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("x = 1", "does not define `workflow`"),
        ("workflow = 3", "`workflow` is a int, not a sonic.framework.Workflow"),
        ("def workflow(): return 3", "`workflow` is a int"),
        ("\n\nimport nothing_of_that_name", r"failed to load: ModuleNotFoundError: .* \(mine.py line 3\)"),
        ("def workflow(:", r"failed to load: SyntaxError: invalid syntax \(mine.py, line 1\)$"),
        ("raise ValueError('\\ntwo\\nlines')", r"failed to load: ValueError: two \(mine.py line 1\)"),
        ("exit(0)", r"failed to load: SystemExit: 0 \("),
        ("def workflow():\n    return 1 / 0", r"failed to load: ZeroDivisionError: .* \(mine.py line 2\)"),
        ("from sonic.errors import WorkflowError\nraise WorkflowError('no good')", "no good"),
    ],
)
def test_files_that_are_no_workflow(write, text, complaint):
    with pytest.raises((ConfigError, WorkflowError), match=complaint) as caught:
        load(write(text))
    assert "\n" not in str(caught.value)


def test_names_that_are_not_known(tmp_path):
    with pytest.raises(ConfigError, match=r"no workflow 'miniaodd'; similar: miniaod.*; installed: .*miniaod"):
        load("miniaodd")
    with pytest.raises(ConfigError, match=r"no workflow file .*absent.py"):
        load(str(tmp_path / "absent.py"))
    assert "miniaod" in known()


def test_the_graph_and_the_offloads():
    class Ask(Offload):
        model = "m"

        def acquire(self, events):
            return {}

        def produce(self, events, outputs):
            return {}

    class AskFilter(OffloadFilter):
        model = "m"

        def acquire(self, events):
            return {}

        def select(self, events, outputs):
            return []

    class Cut(Filter):
        def select(self, events):
            return []

    class Make(Producer):
        def produce(self, events):
            return {}

    workflow = Workflow("w", (Make(), Cut(), Ask(), AskFilter()))
    assert [module.name for module in workflow.offloads()] == ["Ask", "AskFilter"]
    assert workflow.graph().filters == ("Cut", "AskFilter")
    assert workflow.graph().levels == (0, 0, 1, 1)
    with pytest.raises(WorkflowError, match=r"workflow w: `modules` must be a tuple, got <.*Make"):
        Workflow("w", Make())
    with pytest.raises(WorkflowError, match="workflow w: `keep` must be a tuple, got 'Jet_pt'"):
        Workflow("w", (Make(),), keep="Jet_pt")
    with pytest.raises(WorkflowError, match="two modules are called 'Make'"):
        Workflow("w", (Make(), Make())).graph()
