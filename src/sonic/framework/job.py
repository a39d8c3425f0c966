"""One job: a workflow over files, from the source to the sink and the report."""

from __future__ import annotations

import os
import sys
import time
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from sonic.errors import ConfigError, sendable
from sonic.framework.finished import Kept
from sonic.framework.models import fallback_for, serve_own, servers_for
from sonic.framework.module import JobInfo
from sonic.framework.offload import Mode
from sonic.framework.output import Output
from sonic.framework.policy import OnError
from sonic.framework.processes import Fleet
from sonic.framework.report import Report, Written
from sonic.framework.restart import Resumption, identity, open_journal
from sonic.framework.share import Alone, Task
from sonic.framework.sinks import open_sink
from sonic.framework.source import TreeSource
from sonic.framework.steps import steps
from sonic.framework.summary import fallback_models, module_reports, servers_used
from sonic.framework.targets import check_targets, choose, targets_of
from sonic.framework.workflow import Workflow
from sonic.limits import available_cores
from sonic.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sonic.client.fallback import Fallback
    from sonic.framework.graph import Graph
    from sonic.framework.journal import Journal
    from sonic.framework.models import Caller
    from sonic.framework.output import Progress
    from sonic.framework.sinks.base import Sink
    from sonic.framework.targets import Target

# A stream is cheap: a chunk in memory. With a server far away more of them are needed to keep the threads busy.
_STREAMS_PER_THREAD = 2
_STREAMS_PER_THREAD_REMOTE = 8


def run(
    workflow: Workflow,
    inputs: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str] | Target | Sequence[str | os.PathLike[str] | Target] | None = None,
    *,
    servers: Sequence[str] = (),
    mode: str = "service",
    offload_mode: Mode | str = Mode.ASYNC,
    threads: int | None = None,
    streams: int | None = None,
    processes: int = 1,
    chunk_size: int | None = None,
    repeat: int = 1,
    entries: tuple[int | None, int | None] = (None, None),
    filter_output: str = "mask",
    keep: Sequence[str] | None = None,
    ordered: bool = True,
    fallback: Fallback | str | os.PathLike[str] | bool = True,
    timeout_s: float | None = None,
    on_error: OnError | str = "stop",
    restart: bool = False,
    progress: Progress | None = None,
    client: Caller | None = None,
) -> Report:
    """Run a workflow over event files.

    Parameters
    ----------
    workflow : Workflow
    inputs : sequence of path or str
        ROOT files or URLs.
    output : path or Target, or several, optional
        ``.root`` and ``.parquet`` files. They appear only when they are whole.
    servers : sequence of str
        URLs of inference servers, e.g. ``grpc://host:8001``. Without any, the balancer that the site announces, and
        those of the client's settings; without these too, the job starts a server of its own.
    mode : {"service", "direct"}
        ``direct``: models run in the threads of this job, without a server.
    offload_mode : Mode
        How offloads wait that do not say so themselves. `direct` implies `sync`.
    threads : int, optional
        Threads that execute modules, in all processes together; as many as there are cores to use, by the affinity and
        the processor quota of a container.
    streams : int, optional
        Chunks in flight, likewise; two for each thread, eight with servers given.
    processes : int
        Processes that share the work, for modules that keep others from running (Python does, numpy mostly does not).
        The workflow must be one that :func:`~sonic.framework.workflow.load` found, or one that can be pickled. Each
        process has modules of its own. If one dies, `on_error` says what becomes of its chunks.
    chunk_size : int, optional
        Events in a chunk; as the workflow says.
    repeat : int
        How often the input is read.
    entries : tuple of int or None
        First and one past the last event to read, counted over all files.
    filter_output : {"mask", "pass"}
        ``mask``: every event is written, with a bool for each filter. ``pass``: only events that pass all filters.
    keep : sequence of str, optional
        What goes to the outputs, in place of the workflow's `keep`.
    ordered : bool
        Whether events are written, and analyzers' results summed up, in the order of the input, or chunk by chunk as
        they are done: then a slow chunk holds nothing back.
    fallback : bool or path-like or Fallback
        What runs the models if no server can: a folder of them, or a description. True: what the client's settings say,
        else the workflow's own models in this process; False: nothing.
    timeout_s : float, optional
        Time that a request may take.
    on_error : OnError or str
        What becomes of the job when a module fails on a chunk: ``stop``; ``skip`` leaves the chunk out; ``retry:N``
        tries the module N times more and then stops, ``retry:N,skip`` skips then. What cannot be written ends the job
        in any case.
    restart : bool
        Whether to note what is finished in a file beside the first output, ``NAME.journal``, and to go on from there
        if a job that was interrupted has left one.
    progress : Progress, optional
    client : Caller, optional
        Used for the models instead of a client made here, and not closed.

    Returns
    -------
    Report

    Raises
    ------
    ConfigError, DataError, WorkflowError
        If the job makes no sense, or its input cannot be read.
    ModuleError
        If a module or its model fails and the job is to stop then, or if it fails on every chunk.
    OutputError
        If the output cannot be written. Nothing is left under its name; of several outputs, those that got theirs
        before keep it.
    ProcessLost
        If one of several processes dies, and its chunks are not to be done again.
    """
    _check_kinds(workflow, inputs=inputs, servers=servers, keep=keep)
    cores = available_cores()
    chunk_size = workflow.chunk_size if chunk_size is None else chunk_size
    servers, named_by = servers_for(workflow, servers, mode) if client is None else (servers, "")
    threads, streams = _resources(threads, streams, processes, cores, remote=bool(servers))
    if processes > 1 and client is not None:
        raise ConfigError(f"a client of your own is for one process: leave it out, or have 1 instead of {processes}")
    _one_of("mode", mode, ("service", "direct"))
    targets = targets_of(output, filter_output, workflow.keep if keep is None else keep)
    _one_of("offload mode", offload_mode, tuple(Mode))
    if mode == "direct" and servers:
        raise ConfigError("mode direct calls no server: leave out the servers, or the mode")
    if mode == "direct" and not isinstance(fallback, bool):
        raise ConfigError("mode direct calls no server, and has no use for a fallback: leave it out, or the mode")
    graph = workflow.graph()
    if restart and not targets:
        raise ConfigError("a job can be restarted only if it has an output")
    policy = OnError.parse(on_error) if isinstance(on_error, str) else on_error
    plan = steps(graph, workflow.modules)
    modes = _modes(workflow, mode, Mode(offload_mode))

    with ExitStack() as stack:
        source = stack.enter_context(
            TreeSource(inputs, workflow.tree, chunk_size=chunk_size, repeat=repeat, entries=entries)
        )
        kept = _choose(source, graph, targets)
        about = None
        if restart:
            settings = {"chunk size": chunk_size, "repeat": repeat, "entries": entries, "ordered": ordered}
            about = identity(workflow, source.files, targets, kept, settings)
        if modes and client is None and mode == "service" and not servers:
            servers, named_by = [serve_own(stack, workflow)], "own"
        task = Task(
            workflow=workflow,
            about=JobInfo(workflow.name, source.files, source.events, 0, processes),
            kept=kept,
            mode=mode,
            modes=modes,
            servers=tuple(servers),
            fallback=_fallback(workflow, fallback) if modes and mode == "service" else None,
            timeout_s=timeout_s,
            on_error=policy,
            ordered=ordered,
            threads=threads,
            streams=streams,
        )
        crew: Alone | Fleet
        if processes == 1:
            crew = stack.enter_context(Alone(task, client))
        else:
            crew = stack.enter_context(Fleet(task, source, processes, cores))

        check_targets(targets, source.files)
        out = stack.enter_context(_output(workflow, targets, source.events, progress))
        journal = None if about is None else stack.enter_context(open_journal(about, targets))
        before_events = _process(crew, source, out, journal, ordered=ordered)
        out.check()
        summaries = out.summaries()
        out.commit(lambda events: _metadata(workflow, source, out, events))
        if journal is not None:
            journal.remove()
        wall_s = (time.perf_counter_ns() - crew.began_ns) / 1e9
        shares = crew.shares()

    modules = module_reports(shares, plan, modes, direct=mode == "direct")
    records = [record for share in shares for record in share.records]
    return Report(
        workflow=workflow.name,
        inputs=source.files,
        outputs=tuple(Written(str(target.path), n) for target, n in zip(targets, out.written, strict=True)),
        servers=servers_used(shares),
        servers_named_by=named_by if modes else "",
        fallback_models=fallback_models(shares),
        mode=mode,
        offload_mode=Mode(offload_mode).value if mode == "service" else Mode.SYNC.value,
        threads=threads,
        streams=streams,
        chunk_size=chunk_size,
        repeat=repeat,
        events=out.read,
        events_written=sum(out.written),
        chunks=out.chunks,
        wall_s=wall_s,
        cpu_s=sum(share.cpu_s for share in shares),
        events_per_s=(out.read - before_events) / wall_s,
        events_before=before_events,
        external_s=sum(module.offload.external_s for module in modules if module.offload),
        hidden_s=sum(module.offload.hidden_s for module in modules if module.offload),
        together_s=sum(share.together_ns for share in shares) / 1e9,
        peak_rss_bytes=sum(share.peak_rss_bytes for share in shares),
        modules=modules,
        summaries=summaries,
        skipped=tuple(out.skipped),
        versions=_versions(),
        records_kept=len(records),
        records_cut=sum(share.cut for share in shares),
        processes=processes,
        processes_lost=crew.lost,
        totals=out.totals,
        records=tuple(sorted(records, key=lambda record: record.start_ns)),
    )


def _check_kinds(workflow: object, **sequences: object) -> None:
    """Refuse a name for a workflow, and one for several: a text is a sequence, too, of its letters."""
    if not isinstance(workflow, Workflow):
        raise ConfigError(
            f"expected a Workflow, given {workflow!r}: sonic.framework.workflow.load makes one of a name or a file"
        )
    for name, given in sequences.items():
        if isinstance(given, str | os.PathLike):
            raise ConfigError(f"{name} is a sequence, given the one {str(given)!r}")


def _resources(
    threads: int | None, streams: int | None, processes: int, cores: int, *, remote: bool
) -> tuple[int, int]:
    if processes < 1:
        raise ConfigError(f"a job needs at least one process, got {processes}")
    if threads is None:
        threads = max(cores, processes)
    if streams is None:
        streams = threads * (_STREAMS_PER_THREAD_REMOTE if remote else _STREAMS_PER_THREAD)
    if threads < 1 or streams < 1:
        raise ConfigError(f"a job needs at least one thread and one stream, got {threads} and {streams}")
    if min(threads, streams) < processes:
        raise ConfigError(
            f"{processes} processes need at least as many threads and streams in all, got {threads} and {streams}"
        )
    return threads, streams


def _fallback(workflow: Workflow, given: Fallback | str | os.PathLike[str] | bool) -> Fallback | None:
    if isinstance(given, bool):
        return fallback_for(workflow) if given else None
    return fallback_for(workflow, given) if isinstance(given, str | os.PathLike) else given


def _one_of(what: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ConfigError(f"{what} {value!r}: expected {', '.join(allowed[:-1])} or {allowed[-1]}")


def _modes(workflow: Workflow, mode: str, otherwise: Mode) -> dict[str, Mode]:
    """How each offload waits. In mode `direct` the thread that asks is the one that runs the model."""
    if mode == "direct":
        return {module.name: Mode.SYNC for module in workflow.offloads()}
    for module in workflow.offloads():
        if module.mode is not None:
            _one_of(f"module {module.name}: mode", module.mode, tuple(Mode))
    return {module.name: Mode(module.mode or otherwise) for module in workflow.offloads()}


@contextmanager
def _output(workflow: Workflow, targets: Sequence[Target], total: int, progress: Progress | None) -> Iterator[Output]:
    """Open the sinks; those that are not committed go at the end."""
    sinks: list[Sink] = []
    with ExitStack() as opened:
        for target in targets:
            sinks.append(open_sink(target.path, workflow.tree))
            opened.callback(sinks[-1].discard)
        opened.pop_all()
    with Output(workflow.modules, sinks, total=total, progress=progress) as out:
        yield out


def _choose(source: TreeSource, graph: Graph, targets: Sequence[Target]) -> tuple[Kept, ...]:
    """Say what goes to each output, and have the source read that, and what the modules need."""
    chosen = [choose(target.keep or (), source.branches[source.files[0]], graph) for target in targets]
    branches = dict.fromkeys(name for names, _ in chosen for name in names)
    source.require([*graph.required, *branches], graph.optional, graph.check_input)
    return tuple(
        Kept((*names, *products), target.filter_output == "mask")
        for target, (names, products) in zip(targets, chosen, strict=True)
    )


def _process(crew: Alone | Fleet, source: TreeSource, out: Output, journal: Journal | None, *, ordered: bool) -> int:
    """Run the chunks that are not finished; return how many events earlier runs had finished."""
    if journal is None:
        crew.run(source, (), out.take)
        return 0
    resumption = Resumption(journal, out.take, ordered=ordered)
    crew.run(source, journal.done, resumption.write)
    resumption.end()
    return sum(journal.done.values())


def _metadata(workflow: Workflow, source: TreeSource, out: Output, events: int) -> str:
    """Return what the output file says of itself. Nothing in it depends on the route that the events took."""
    about: dict[str, object] = {
        "events": events,
        "events_read": out.read,
        "workflow": workflow.name,
        "inputs": [sendable(Path(file).name) for file in source.files],
        "sonic": __version__,
    }
    if out.skipped:
        about["events_skipped"] = sum(failure.stop - failure.start for failure in out.skipped)
    return msgspec.json.encode(about).decode()


def _versions() -> dict[str, str]:
    packages = {name: version(name) for name in ("numpy", "awkward", "uproot")}
    return {"sonic": __version__, "python": sys.version.split()[0], **packages}
