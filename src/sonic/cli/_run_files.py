"""Files that ``sonic run`` writes beside its outputs."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sonic.files import check_writable, replacing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from sonic.framework.report import Report
    from sonic.framework.workflow import Workflow


class Extras:
    """Files beside the output. What cannot be written is found out before the job, not after it."""

    def __init__(
        self,
        report: Path | None,
        trace: Path | None,
        timeline: Path | None,
        graph: Path | None,
        record: Path | None,
        *,
        others: Sequence[str | Path],
    ) -> None:
        from sonic.errors import ConfigError

        self._report, self._trace, self._timeline, self._graph = report, trace, timeline, graph
        taken = [os.path.realpath(other) for other in others]
        asked_for = [path for path in (report, trace, timeline, graph, record) if path is not None]
        check_writable(*asked_for)
        for path in asked_for:
            if os.path.realpath(path) in taken:
                raise ConfigError(f"cannot write {path}: it is another file of this job")
            if not path.is_char_device():  # /dev/null may be given twice
                taken.append(os.path.realpath(path))
        if timeline is not None:
            try:
                from sonic.framework.timeline import formats
            except ImportError as error:
                raise ConfigError(f"--timeline needs matplotlib: pip install 'sonic-hep[plots]' ({error})") from error
            if timeline.suffix not in formats():
                raise ConfigError(f"cannot write {timeline}: its name must end in one of {', '.join(formats())}")

    def draw(self, workflow: Workflow) -> None:
        """Draw the graph, if that was asked for."""
        if self._graph is not None:
            from sonic.framework.drawing import draw

            with replacing(self._graph) as part:
                part.write_text(draw(workflow, self._graph.suffix))

    def write(self, result: Report) -> None:
        """Write those that were asked for."""
        from sonic.framework.trace import to_trace

        if self._report is not None:
            with replacing(self._report) as part:
                part.write_bytes(result.to_json())
        if self._trace is not None:
            with replacing(self._trace) as part:
                part.write_bytes(to_trace(result.records, result.workflow))
        if self._timeline is not None:
            from sonic.framework.timeline import timeline

            drawn = timeline(result.records, title=result.workflow, subtitle=result.headline)
            with replacing(self._timeline) as part:
                drawn.savefig(part, format=self._timeline.suffix[1:])


@contextmanager
def recording(path: Path | None, mode: str) -> Iterator[None]:
    """Have the clients of this job, and of the processes that it starts, keep their requests."""
    from sonic.client.settings import PREFIX
    from sonic.errors import ConfigError

    if path is None:
        yield
        return
    if mode == "direct":
        raise ConfigError("--record keeps requests, and --mode direct sends none")
    if path.exists():
        raise ConfigError(f"--record {path}: the file is there already, and recordings are not mixed")
    name = f"{PREFIX}RECORD"
    before = os.environ.get(name)
    os.environ[name] = str(path.absolute())
    try:
        yield
    finally:
        os.environ.pop(name) if before is None else os.environ.update({name: before})
