"""``sonic study advise``: a deployment for so many jobs, from what was measured."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads it
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from sonic.study.advice.plan import Plan
    from sonic.study.advice.reasons import Advice


def advise(
    direct: Annotated[
        Path, typer.Argument(metavar="REPORT", help="Of a job with `sonic run --mode direct --report REPORT`.")
    ],
    scans: Annotated[
        list[Path] | None,
        typer.Option("--scan", "-s", metavar="FILE", help="Records of the job's models (`sonic study scan`)."),
    ] = None,
    service: Annotated[
        Path | None, typer.Option(metavar="REPORT", help="Of the same job with a server: what is left to it.")
    ] = None,
    site: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Prices and servers (TOML).", show_default="the machines of the scans"),
    ] = None,
    jobs: Annotated[int, typer.Option(help="Jobs that run at once.", min=1)] = 1000,
    threads: Annotated[int, typer.Option(help="Threads of each.", min=1)] = 1,
    goal: Annotated[
        str,
        typer.Option(
            metavar="cost|throughput",
            help="What decides what is offloaded.",
            autocompletion=lambda: ["cost", "throughput"],
        ),
    ] = "cost",
    event_s: Annotated[
        float | None,
        typer.Option(help="Seconds of a core for an event in the whole job.", show_default="as the report says"),
    ] = None,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the plan as JSON.")] = None,
) -> None:
    """Plan a deployment: what to offload, to how many servers of which kind, and what that gains and costs.

    \b
    Examples:
      sonic run miniaod -i events.root --mode direct --report direct.json
      sonic study scan particlenet-ak4.toml --to scan.jsonl
      sonic study advise direct.json --scan scan.jsonl --jobs 2500 --threads 4
    """
    from sonic.cli._console import open_console
    from sonic.cli.study._records import say_left_out
    from sonic.files import replacing
    from sonic.study.advice.planning import plan_from_files, to_json

    made, said = plan_from_files(
        direct,
        scans or [],
        service=service,
        site=site,
        jobs=jobs,
        threads=threads,
        goal=goal,
        event_s=event_s,
        left_out=say_left_out,
    )
    if json is not None:
        with replacing(json) as part:
            part.write_bytes(to_json(made, said))
    console = open_console(highlight=False)
    console.print(_models(made))
    console.print("cost of a million events: of the cores it takes in the job, of the part of a server it takes else")
    console.print(_sums(made))
    console.print(_reasons(said))


def _table(words: tuple[str, ...], figures: tuple[str, ...] = ()) -> Table:
    """Make a table of words, whose first column stays whole unless there are figures, which always do."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for i, column in enumerate(words):
        table.add_column(column, no_wrap=not i and not figures, overflow="fold")
    for column in figures:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _models(made: Plan) -> Table:
    from rich.markup import escape

    from sonic.study.records import digits

    money = made.site.currency
    costs = (f"cores\n({escape(money)})", f"server\n({escape(money)})")
    table = _table(("model", "where"), ("of the\njob", "rows\nan event", *costs))
    for model in made.models:
        offer = model.offer
        table.add_row(
            escape(model.model),
            escape(offer.kind) if model.offload and offer else "in the job",
            f"{model.saved_s / made.job.event_s:.1%}",
            digits(model.rows_per_event),
            digits(model.cores_cost),
            digits(model.server_cost) if offer else "unknown",
        )
    return table


def _sums(made: Plan) -> Table:
    from rich.markup import escape

    from sonic.study.records import digits

    money = made.site.currency
    table = _table(("",), ("in the job", "planned", ""))
    table.add_row(
        "events/s", digits(made.events_per_s_before, 5), digits(made.events_per_s, 5), f"{100 * made.gain:+.1f} %"
    )
    table.add_row(
        f"{escape(money)} for a million events",
        digits(made.cost_before, 4),
        digits(made.cost, 4),
        f"{100 * (made.cost / made.cost_before - 1):+.1f} %" if made.cost_before else "",
    )
    for fleet in made.fleets:
        table.add_row(f"servers: {escape(fleet.kind)}", "0", f"{fleet.servers:,}")
    table.add_row("network (Gbit/s)", "0", digits(made.network_gbps))
    table.add_row(f"streams of a job with {made.threads} threads", str(made.threads), str(made.streams))
    return table


def _reasons(said: list[Advice]) -> Table:
    from rich.markup import escape

    table = _table(("about", "do", "because"))
    last = ""
    for advice in said:
        row = ("" if advice.subject == last else advice.subject, advice.choice, advice.reason)
        table.add_row(*map(escape, row))
        last = advice.subject
    return table
