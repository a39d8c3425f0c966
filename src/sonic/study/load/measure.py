"""One point of a study: a load on a server, until what is measured is stable."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import structs

from sonic.client.locality import on_this_host
from sonic.client.url import connect, parse_server
from sonic.errors import ConfigError, DataError, InferenceError, ModelFailed, SonicError
from sonic.limits import available_cores
from sonic.study.load.clients import Clients
from sonic.study.load.inputs import FileInputs, RandomInputs, RecordedInputs
from sonic.study.load.jobs import Job, JobWork
from sonic.study.load.server import ServerWatch, identity
from sonic.study.load.settings import LoadSettings
from sonic.study.load.stable import check_installed
from sonic.study.load.windows import Windows
from sonic.study.machine import this_machine, utc_now
from sonic.study.records import Record
from sonic.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sonic.client.transport import Transport
    from sonic.client.url import Address
    from sonic.specs import ModelSpec
    from sonic.study.load.crew import Work
    from sonic.study.load.inputs import Inputs
    from sonic.study.load.windows import Glance
    from sonic.study.records import Setting, Status


def measure(
    target: str | Job,
    server: str,
    settings: LoadSettings | None = None,
    *,
    inputs: Inputs | None = None,
    copies: Sequence[str] = (),
    metrics: str = "",
    pid: int | None = None,
    direct: str = "",
    progress: Callable[[Glance], None] | None = None,
) -> Record:
    """Put a load on a server, and return what was measured.

    Parameters
    ----------
    target : str or Job
        A model; or a workflow, of which as many jobs as there are clients run over its events, each in a process.
    server : str
        URL of the server. It gives the protocol, and compression too: ``grpc://gpu01:8001?compression=gzip``.
    settings : LoadSettings, optional
    inputs : Inputs, optional
        What is sent; by default random tensors with the rows and shapes of the settings. A job sends its own.
    copies : sequence of str
        Further models whose counters on the server count: copies of the target to which `inputs` sends requests too.
    metrics : str
        URL of the server's metrics, where they are not next to its port.
    pid : int, optional
        The server's process, if it is on this host and another listens at its URL: it tells the processor time of a
        server without metrics.
    direct : str
        URL of the server itself, where a relay listens at `server`: what it counts is looked for there, and errors
        name it.
    progress : callable, optional
        Called a few times a second, in this thread.

    Returns
    -------
    Record
        ``measured`` if as many windows in a row as are wanted agree, and its figures are those of these windows;
        ``unstable`` if they never do. ``failed`` if the server cannot be reached, has no such model or no metrics
        where `metrics` says, no request of a window succeeds, or the server or a process of the load dies;
        ``interrupted`` by Ctrl-C, or whatever raises KeyboardInterrupt. What was measured until then is in it.
        `reason` also says if some requests failed.

    Raises
    ------
    ConfigError
        If the settings or the URL make no sense.
    DataError
        If a file that is to be sent is not there.
    """
    settings = settings or LoadSettings()
    address = parse_server(server)
    itself = parse_server(direct or server)
    if isinstance(target, Job) and (settings.rate is not None or settings.think_s):
        raise ConfigError(f"jobs of {target.workflow} are a closed loop without a pause: leave out rate and think_s")
    if path := missing_file(target, inputs):
        raise DataError(f"no input file {path}")
    check_installed()
    is_here = pid is not None or itself.scheme == "local" or on_this_host(itself.scheme, itself.where)
    windows = Windows(settings, progress)
    versions = {"sonic": __version__, "python": sys.version.split()[0]}
    details: dict[str, float] = {}
    started, name = utc_now(), target.workflow if isinstance(target, Job) else target
    status: Status = "measured"
    reason = ""
    try:
        with ExitStack() as stack:
            transport = connect(address)
            stack.callback(transport.close)
            works: list[Work]
            if isinstance(target, Job):
                workflow = target.load()
                name = workflow.name
                models = list(dict.fromkeys(module.model for module in workflow.offloads()))
                works = [JobWork(target, server, settings.timeout_s)] * settings.clients
            else:
                models = [target, *copies]
                spec = transport.model_spec(target, timeout_s=settings.timeout_s)
                versions["platform"] = spec.platform
                details = _told(transport, target, settings.timeout_s)
                sent = inputs or RandomInputs(settings.rows, settings.shapes)
                _read_one(transport, spec, sent, settings)
                parts = processes_of(settings)
                works = [Clients(address, spec, sent, settings, part, parts) for part in range(parts)]
            versions["server"] = identity(address)
            watch = stack.enter_context(ServerWatch(transport, itself, models, metrics, pid))
            if cores := watch.own_cores():
                details |= {"own_cores": float(cores)}
            reason = windows.run(works, watch)
            status = "unstable" if reason else "measured"
    except SonicError as error:
        status, reason = "failed", str(error)
    except KeyboardInterrupt as interrupt:
        status, reason = "interrupted", f"by {str(interrupt) or 'Ctrl-C'}"
    figures = windows.figures()
    reasons = (reason, windows.errors if status != "failed" else "", windows.unread)
    record = Record(
        target=name,
        settings=_settings(target, settings, address, inputs)
        | ({} if is_here else {"server": f"{itself.scheme}://{itself.where}"}),
        status=status,
        reason="; ".join(filter(None, reasons)).replace(address.where, itself.where),
        started=started,
        machine=this_machine(),
        versions={name: told for name, told in versions.items() if told},
        details=details | figures.pop("details", {}),
    )
    return structs.replace(record, **figures)


def missing_file(target: str | Job, inputs: Inputs | None) -> str:
    """Return the first file of a load that is not there; empty if there is none, or it is not on this host."""
    paths: Sequence[str] = ()
    if isinstance(target, Job):
        paths = target.files
    elif isinstance(inputs, FileInputs | RecordedInputs):
        paths = (inputs.path,)
    return next((path for path in paths if "://" not in path and not Path(path).exists()), "")


def _told(transport: Transport, model: str, timeout_s: float) -> dict[str, float]:
    """Return how a server says that it executes a model, by the names of a scan's settings; nothing if it does not."""
    try:
        config = transport.model_config(model, timeout_s=timeout_s)
    except SonicError:  # some have no such call
        return {}
    batching = config.dynamic_batching
    told = {
        "instances": sum(group.count * max(1, len(group.gpus)) for group in config.instance_group),
        "batch": config.max_batch_size if config.HasField("dynamic_batching") else 0,
        "delay_us": batching.max_queue_delay_microseconds,
    }
    return {name: float(number) for name, number in told.items() if number or name == "batch"}


def _read_one(transport: Transport, spec: ModelSpec, inputs: Inputs, settings: LoadSettings) -> None:
    """Read one answer whole, of which the load itself sees no more than that it is one.

    Raises
    ------
    ModelFailed
        If it is none of the model's.
    """
    for request in inputs.requests(spec, settings.seed):
        try:
            answer = transport.submit(structs.replace(request, timeout_s=settings.timeout_s)).result()
        except ModelFailed:
            raise
        except InferenceError:
            return  # the load counts what becomes of requests
        names = request.outputs or tuple(output.name for output in spec.outputs)
        if not names or any(name not in answer.outputs for name in names):
            given = ", ".join(answer.outputs) or "nothing"
            raise ModelFailed(f"{transport.url} answers for {spec.name} with {given}, expected {', '.join(names)}")
        return


def processes_of(settings: LoadSettings) -> int:
    """Return how many processes there are: as given, else half of the cores, and no more than clients."""
    wanted = settings.processes or max(1, available_cores() // 2)
    return wanted if settings.rate is not None else min(wanted, settings.clients)


def _settings(target: str | Job, settings: LoadSettings, address: Address, inputs: Inputs | None) -> dict[str, Setting]:
    said: dict[str, Setting] = {"clients": settings.clients}
    if settings.rate is not None:
        said = {"rate": settings.rate, "arrivals": settings.arrivals}
    if settings.think_s:
        said["think_s"] = settings.think_s
    if isinstance(target, Job):
        said |= {"threads": target.threads}
        said |= {name: given for name in ("streams", "chunk_size") if (given := getattr(target, name)) is not None}
        said["input"] = ", ".join(Path(file).name for file in target.files)
        said |= {f"with.{name}": value for name, _, value in (option.partition("=") for option in target.options)}
    else:
        if isinstance(inputs, FileInputs | RecordedInputs):
            said["input"] = Path(inputs.path).name
            if isinstance(inputs, FileInputs) and inputs.rows is not None:
                said["rows"] = inputs.rows
        else:
            if settings.rows > 1 or not settings.shapes:  # whole shapes have rows of their own
                said["rows"] = settings.rows
            said |= {f"shape.{name}": ",".join(map(str, shape)) for name, shape in settings.shapes.items()}
        said |= {"shared_memory": settings.shared_memory, "processes": processes_of(settings)}
    return said | {
        "protocol": address.scheme,
        "compression": dict(address.options).get("compression", "none"),
    }
