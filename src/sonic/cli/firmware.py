"""``sonic firmware``: from a network to firmware, and its proof."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sonic.cli import serve as serve_verb
from sonic.cli._options import with_options_of
from sonic.cli._verbs import Verbs
from sonic.cli.models._place import networks

if TYPE_CHECKING:
    import numpy as np

    from sonic.firmware.network import Network
    from sonic.firmware.precision import Precision

HostNormalisation = Annotated[
    bool, typer.Option(help="Leave to the host what normalises the input, where the network begins with that.")
]

firmware = typer.Typer(
    cls=Verbs, help="Firmware for FPGAs: build it of a network, and prove its bits.", no_args_is_help=True
)


def _routes() -> list[str]:
    from sonic.firmware.build import ROUTES

    return list(ROUTES)


def _strategies() -> list[str]:
    from sonic.firmware.synthesis import STRATEGIES

    return list(STRATEGIES)


@firmware.command()
def build(
    model: Annotated[
        str,
        typer.Argument(
            help="A file (.onnx, also QONNX; .keras of HGQ2; .json of XGBoost), or a network as `sonic models list` "
            "names it.",
            autocompletion=networks,
        ),
    ],
    to: Annotated[Path, typer.Option(metavar="FOLDER", help="To be made.")],
    backend: Annotated[str, typer.Option(help="What writes it.", autocompletion=_routes)] = "hls4ml-vitis",
    precision: Annotated[
        str | None,
        typer.Option(
            metavar="TYPE|FILE",
            help="Of all numbers, or a file that `search` has written; by default those that a training has chosen, "
            "else ap_fixed<16,6>.",
        ),
    ] = None,
    reuse: Annotated[int, typer.Option(help="Multiplications of each multiplier for a row.", min=1)] = 1,
    strategy: Annotated[
        str, typer.Option(help="Of products, by hls4ml: latency, resource, or da.", autocompletion=_strategies)
    ] = "latency",
    stream: Annotated[bool, typer.Option("--stream", help="Hand numbers on one by one, as large images need.")] = False,
    weights: Annotated[str, typer.Option(help="Of a network by its name: trained or random.")] = "trained",
    host_normalisation: HostNormalisation = True,
) -> None:
    """Build firmware of a network, and an emulator that has its bits.

    \b
    Examples:
      sonic firmware build facile-fpga --to facile --weights random
      sonic firmware build tagger.onnx --to tagger --backend da4ml --precision 'fixed<12,4,RND,SAT>'
      sonic firmware build trees.json --to trees --backend conifer
    """
    from sonic.cli._console import open_console
    from sonic.cli._signals import terminable
    from sonic.errors import ConfigError
    from sonic.firmware import build as firmware_build
    from sonic.firmware import fronts
    from sonic.firmware.precision import Precision
    from sonic.firmware.synthesis import STRATEGIES, Synthesis

    if strategy not in STRATEGIES:
        raise ConfigError(f"--strategy is one of {', '.join(STRATEGIES)}, given {strategy!r}")
    told = None if precision is None else fronts.numbers(precision)
    network, numbers = _network(model, weights, told, host_normalisation=host_normalisation)
    synthesis = Synthesis(reuse=reuse, strategy=strategy, stream=stream)
    console = open_console(stderr=True)
    with terminable(), console.status("reading") as status:
        made = firmware_build.build(
            network,
            numbers or Precision(),
            to,
            route=backend,
            synthesis=synthesis,
            progress=lambda what: status.update(what),
        )
    for name, value in made.cost.items():
        console.print(f"{name.replace('_', ' ')}: {value:,.0f} (da4ml's estimate)")
    typer.echo(made.folder)


@firmware.command()
def search(
    model: Annotated[str, typer.Argument(help="As for `build`.", autocompletion=networks)],
    data: Annotated[Path, typer.Option(metavar="FILE", help="Rows of the workload (.npy), some thousand.")],
    to: Annotated[Path, typer.Option(metavar="FILE", help="Numbers to be written (.json), for `build --precision`.")],
    error: Annotated[float, typer.Option(help="Largest error: root mean square, over that of the outputs.")] = 0.01,
    weights: Annotated[str, typer.Option(help="Of a network by its name: trained or random.")] = "trained",
    host_normalisation: HostNormalisation = True,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw error against cost (.png, .svg, .pdf).")
    ] = None,
) -> None:
    """Search the fewest bits of each layer with which a network stays within an error."""
    import json
    from dataclasses import asdict

    from sonic.cli._console import open_console
    from sonic.errors import ConfigError
    from sonic.files import check_writable, replacing
    from sonic.firmware import report as reports
    from sonic.firmware import search as searches
    from sonic.firmware.plots import cost_of_error
    from sonic.firmware.search import Curve
    from sonic.firmware.storage import describe

    check_writable(to, plot)
    network, chosen = _network(model, weights, None, host_normalisation=host_normalisation)
    if chosen is not None:
        raise ConfigError(f"{model}: a training has chosen its numbers, and there is nothing to search")
    rows = _rows(data, network)
    with open_console(stderr=True).status("reading") as status:
        found = searches.search(network, rows, error, progress=lambda what: status.update(what))
    curve = Curve.of(found, error)
    with replacing(to) as part:
        part.write_text(json.dumps(describe(found.best.precision) | {"search": asdict(curve)}, indent=1) + "\n")
    if plot is not None:
        reports.save(cost_of_error(curve), plot)
    for name, each in (("the same fraction", found.uniform[-1]), ("by layer", found.best)):
        typer.echo(f"{name}: error {each.error:.3g}, {each.bit_products:,} bit products")
    typer.echo(to)


@firmware.command()
def verify(
    folder: Annotated[Path, typer.Argument(help="Of firmware that was built.")],
    data: Annotated[Path | None, typer.Option(metavar="FILE", help="Rows of the workload (.npy).")] = None,
    rows: Annotated[
        int, typer.Option(help="Random rows within the input's range; as many reach beyond it.", min=0)
    ] = 10_000,
    seed: Annotated[int, typer.Option(help="Of random rows.")] = 1,
    threads: Annotated[int, typer.Option(help="For the emulator.", min=1)] = 1,
    synthesise: Annotated[
        bool, typer.Option("--synthesise", help="Have yosys say what the Verilog of da4ml-rtl takes; some minutes.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the report: .md with pictures beside it, or .json.")
    ] = None,
    numbers: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Of `search`: the report has its error against cost.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the distance from float (.png, .svg, .pdf).")
    ] = None,
) -> None:
    """Compare an emulator with the reference, bit for bit; exit code 1 if a bit differs.

    \b
    Examples:
      sonic firmware verify facile --data rows.npy --report report.md
      sonic firmware verify facile --rows 1000000 --threads 2
    """
    from rich.table import Table

    from sonic.cli._bars import bars
    from sonic.cli._console import open_console
    from sonic.files import check_writable
    from sonic.firmware import report as reports
    from sonic.firmware.build import load
    from sonic.firmware.search import read_curve
    from sonic.firmware.verify import verify as verified

    check_writable(report, plot)
    found = load(folder)
    given = None if data is None else _rows(data, found.network)
    curve = None if numbers is None else read_curve(numbers)
    with bars() as progress:
        result = verified(
            found, given, random_rows=rows, seed=seed, threads=threads, synthesise=synthesise, progress=progress
        )
    console = open_console()
    table = Table(*reports.COMPARED, box=None, pad_edge=False)
    for row in reports.compared_rows(result.comparisons):
        table.add_row(*row)
    console.print(table)
    distance = result.distance
    typer.echo(f"from float64: median {distance.median:.3g}, 95 % {distance.high:.3g}, largest {distance.largest:.3g}")
    for line in distance.bars():
        typer.echo(line)
    if result.advice:
        typer.echo(result.advice)
    if result.resources:
        table = Table(*reports.resource_columns(), box=None, pad_edge=False)
        for row in reports.resource_rows(result.resources):
            table.add_row(*row)
        console.print(table)
    for line in result.skipped:
        typer.echo(f"without {line}", err=True)
    typer.echo("exact" if result.exact else "not exact")
    if report is not None:
        reports.write(result, report, curve)
    if plot is not None:
        reports.save(distance.picture(), plot)
    if not result.exact:
        raise typer.Exit(1)


@firmware.command()
def pack(
    folder: Annotated[Path, typer.Argument(help="Of firmware that was built.")],
    file: Annotated[Path, typer.Argument(help="To be written (.tar.gz).")],
) -> None:
    """Put firmware into one file: network, sources, emulator, golden vectors, checksums."""
    from sonic.firmware import bundle

    typer.echo(bundle.pack(folder, file))


@firmware.command()
def unpack(
    file: Annotated[Path, typer.Argument(help="That `pack` has written.")],
    folder: Annotated[Path, typer.Argument(help="To be made, e.g. a model's version: models/NAME/1.")],
) -> None:
    """Take firmware out of a file, checked, ready to be served."""
    from sonic.firmware import bundle

    typer.echo(bundle.unpack(file, folder))


@firmware.command()
@with_options_of(serve_verb.serve, without="repositories")
def serve(
    places: Annotated[
        list[Path], typer.Argument(metavar="FIRMWARE...", help="Folders of `build`, and bundles of `pack`.")
    ],
    parameter: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Of the backend fpga, as invalid=refuse or threads=2; repeatable."),
    ] = None,
    **options: Any,
) -> None:
    """Serve firmware, each by the name of the model that it was made of, as `sonic serve` would.

    \b
    Examples:
      sonic firmware serve facile
      sonic firmware serve facile.tar.gz jets.tar.gz --grpc-port 0 --parameter threads=2
    """
    from sonic.firmware.serving import repository

    pairs = [each.partition("=") for each in parameter or ()]
    for key, found, _ in pairs:
        if not key or not found:
            raise typer.BadParameter(f"KEY=VALUE, given {key!r}", param_hint="--parameter")
    with repository(places, {key: value for key, _, value in pairs}) as folder:
        serve_verb.serve([str(folder)], **options)


def _network(
    model: str, weights: str, precision: Precision | None, *, host_normalisation: bool
) -> tuple[Network, Precision | None]:
    import tempfile

    from sonic.firmware.fronts import SUFFIXES, read
    from sonic.workloads import zoo

    if model.endswith(SUFFIXES):
        return read(model, Path(model).stem, precision=precision, host_normalisation=host_normalisation)
    with tempfile.TemporaryDirectory() as folder:
        file = zoo.build(model, folder, weights=weights) / "1" / "model.onnx"
        return read(file, model, precision=precision, host_normalisation=host_normalisation)


def _rows(file: Path, network: Network) -> np.ndarray:
    """Read rows as clients bring them, and return them as firmware takes them."""
    import numpy as np

    from sonic.errors import DataError

    try:
        rows: np.ndarray = np.load(file, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{file} holds no array of numpy: {error}") from error
    shape = network.given_shape
    if rows.shape[1:] != shape:
        raise DataError(f"{file}: rows of {list(shape)} are expected, given {list(rows.shape[1:])}")
    return network.prepare(rows)
