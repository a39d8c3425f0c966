from __future__ import annotations

import pytest

from benchmarks.workloads import case
from sonic.errors import SonicError
from sonic.framework.options import options
from sonic.framework.workflow import load as load_workflow
from sonic.workloads import generators


@pytest.mark.parametrize("name", case.names())
def test_a_case_names_what_there_is(name: str):
    try:
        found = case.load(name)
        workflow = load_workflow(found.workflow) if isinstance(found.workflow, str) else found.workflow()
    except (ImportError, SonicError) as error:
        pytest.skip(f"{name} needs more: {error}")
    assert workflow.offloads()
    assert workflow.models
    generator = generators.find(found.generator or workflow.name)
    assert set(found.options) <= {option.name for option in options(generator)}
    assert found.events >= found.chunk_size >= 1
