"""A study as one HTML file that needs nothing else: pictures, tables, machine, versions, specification."""

from __future__ import annotations

import io
from base64 import b64encode
from html import escape
from typing import TYPE_CHECKING

from sonic.errors import DataError
from sonic.study.series import usable
from sonic.study.tables import measured

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

    from sonic.study.plots.album import Picture
    from sonic.study.records import Record
    from sonic.study.tables import Table

_STYLE = """
:root { color-scheme: light dark; --back: #fff; --front: #1a202c; --soft: #4a5568; --line: #cbd5e0; --card: #f7fafc }
@media (prefers-color-scheme: dark) {
  :root { --back: #14171c; --front: #e2e8f0; --soft: #a0aec0; --line: #3a4351; --card: #1d222a }
  img { filter: invert(0.92) hue-rotate(180deg) }
}
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 78rem; padding: 1rem; background: var(--back); color: var(--front);
  font: 16px/1.5 system-ui, sans-serif }
h1 { margin: 0.2em 0; font-size: 1.6rem } h2 { margin: 2rem 0 0.5rem; font-size: 1.2rem }
p { margin: 0.4rem 0 } .soft { color: var(--soft) }
.pictures { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 24rem), 1fr)) }
figure { margin: 0; padding: 0.6rem; border: 1px solid var(--line); border-radius: 0.5rem }
figure img { display: block; width: 100%; height: auto }
figcaption { color: var(--soft); font-size: 0.85rem }
.wide { overflow-x: auto; margin: 0.5rem 0; border: 1px solid var(--line); border-radius: 0.5rem }
table { border-collapse: collapse; width: 100%; font-size: 0.85rem; font-variant-numeric: tabular-nums }
th, td { padding: 0.3rem 0.6rem; text-align: left; vertical-align: top; white-space: pre }
th { border-bottom: 1px solid var(--line); color: var(--soft); font-weight: 600 }
tr:nth-child(even) td { background: var(--card) }
pre { overflow-x: auto; padding: 0.8rem; background: var(--card); border-radius: 0.5rem; font-size: 0.85rem }
"""


def report(
    records: Sequence[Record],
    pictures: Sequence[Picture],
    *,
    title: str,
    fits: Sequence[tuple[str, Sequence[Table], Sequence[str]]] = (),
    notes: Sequence[str] = (),
    specification: str = "",
) -> str:
    """Return the page.

    Parameters
    ----------
    records : sequence of Record
        Those that were not measured to their end are listed with their reasons.
    pictures : sequence of Picture
    title : str
    fits : sequence of (title, tables, lines)
        As :mod:`sonic.study.tables` has them.
    notes : sequence of str
        What else is to be said, e.g. what could not be drawn.
    specification : str
        Text of the scan's specification.

    Raises
    ------
    DataError
        If there are no records.
    """
    if not records:
        raise DataError("there are no records to report")
    _, bad = usable(records)
    table, shared = measured(records)
    started = sorted(record.started for record in records)
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="soft">{len(records)} points, {escape(started[0])} to {escape(started[-1])}</p>',
    ]
    if shared:
        parts.append(f"<p>All with {escape(', '.join(f'{name} {each}' for name, each in shared.items()))}.</p>")
    parts += [f"<p>Left out: {escape(line)}</p>" for line in bad]
    figures = "".join(_figure(each) for each in pictures)
    parts.append(f'<h2>Pictures</h2><div class="pictures">{figures}</div>')
    parts += [f'<p class="soft">{escape(note)}</p>' for note in notes]
    for name, tables, said in fits:
        parts += [f"<h2>{escape(name)}</h2>", *(f"<p>{escape(line)}</p>" for line in said), *map(_table, tables)]
    parts += ["<h2>Points</h2>", _table(table)]
    parts += ["<h2>Machine and versions</h2>", _table(_machines(records))]
    if specification:
        parts += ["<h2>Specification</h2>", f"<pre>{escape(specification)}</pre>"]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def svg(figure: Figure) -> bytes:
    """Return a figure as SVG whose letters are shapes: it looks the same wherever it is opened."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="svg", metadata={"Date": None})
    return drawn.getvalue()


def _figure(picture: Picture) -> str:
    source = b64encode(svg(picture.figure)).decode()
    caption = escape(picture.caption)
    return (
        f'<figure id="{escape(picture.name)}"><img alt="{caption}" src="data:image/svg+xml;base64,{source}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _table(table: Table) -> str:
    heads, rows = table
    head = "".join(f"<th>{escape(each)}</th>" for each in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(each)}</td>" for each in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _machines(records: Sequence[Record]) -> Table:
    """Return each combination of machine and versions once, with the number of its points."""
    found: dict[tuple[str, ...], int] = {}
    for record in records:
        machine = record.machine
        gpus = ", ".join(machine.gpus) or "none"
        versions = ", ".join(f"{name} {each}" for name, each in record.versions.items())
        key = (machine.processor, str(machine.cores), gpus, machine.system, versions)
        found[key] = found.get(key, 0) + 1
    heads = ["points", "processor", "cores", "GPUs", "system", "versions"]
    return heads, [[str(count), *key] for key, count in found.items()]
