"""The graph of a workflow as a picture (SVG), as text for graphviz (DOT), or as plain text.

Modules lie in columns: each one right of all that it waits for. Boxes with a second frame are offloads, with the name
of their model; boxes cut at the corners are filters.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from sonic.errors import ConfigError
from sonic.framework.offload import Offloaded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sonic.framework.graph import Graph, Node
    from sonic.framework.workflow import Workflow

INPUT = "input"
_NAMES_SHOWN = 3
_WIDTH, _HEIGHT, _GAP_X, _GAP_Y, _MARGIN, _TITLE = 178, 52.0, 150, 18, 24, 34
_CUT = 11
_PASSAGE = 6.0
_BLUE, _ORANGE, _INK, _GREY, _PALE = "#3f90da", "#e76300", "#2b2d33", "#8a8f99", "#f3f5f8"


@dataclass(frozen=True, slots=True)
class Box:
    """A module, or the input (number -1), with its column, from 0, and what it reads of the input."""

    number: int
    title: str
    detail: str
    is_filter: bool
    is_offload: bool
    column: int
    reads: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Edge:
    """What goes from one box to another: columns, or nothing but the events that pass a filter."""

    source: int
    target: int
    names: tuple[str, ...]


def draw(workflow: Workflow, ending: str) -> str:
    """Draw the graph of a workflow.

    Parameters
    ----------
    workflow : Workflow
    ending : {".svg", ".dot", ".txt"}

    Raises
    ------
    ConfigError
        If the ending is another.
    WorkflowError
        If the modules make no graph.
    """
    formats: dict[str, Callable[[str, list[Box], list[Edge]], str]] = {".svg": _svg, ".dot": _dot, ".txt": _text}
    if ending not in formats:
        raise ConfigError(f"a graph is drawn as {', '.join(formats)}, not as {ending or 'a file without an ending'}")
    return formats[ending](workflow.name, *plan(workflow))


def plan(workflow: Workflow) -> tuple[list[Box], list[Edge]]:
    """Place the modules, and find what goes from one to another. The input comes first."""
    graph = workflow.graph()
    edges = [edge for i in range(len(graph.nodes)) for edge in _edges_to(graph, i)]
    columns = _columns(len(graph.nodes), edges)
    boxes = [Box(-1, INPUT, f"tree {workflow.tree}", False, False, 0)]
    for i, (node, module) in enumerate(zip(graph.nodes, workflow.modules, strict=True)):
        offload = isinstance(module, Offloaded)
        if isinstance(module, Offloaded):
            detail = f"model {module.model}" + (f" version {module.version}" if module.version else "")
        else:
            detail = "filter" if node.is_filter else _few(node.produces) if node.produces else "analyzer"
        reads = next((edge.names for edge in edges if edge.source < 0 and edge.target == i), ())
        boxes.append(Box(i, node.name, detail, node.is_filter, offload, columns[i], reads))
    return boxes, edges


def _edges_to(graph: Graph, i: int) -> list[Edge]:
    node: Node = graph.nodes[i]
    names: dict[int, list[str]] = defaultdict(list)
    for name in (*node.consumes, *node.optional):
        names[graph.makers.get(name, -1)].append(name)
    level = graph.levels[i]
    if level:
        gate = next(j for j, other in enumerate(graph.nodes) if other.name == graph.filters[level - 1])
        names.setdefault(gate, [])
    if not names:
        names[-1] = []
    return [Edge(source, i, tuple(found)) for source, found in sorted(names.items())]


def _columns(count: int, edges: Sequence[Edge]) -> list[int]:
    """Longest way from the input to each module."""
    columns = [1] * count
    for _ in range(count):
        for edge in edges:
            if edge.source >= 0:
                columns[edge.target] = max(columns[edge.target], columns[edge.source] + 1)
    return columns


def _few(names: Sequence[str], count: int = _NAMES_SHOWN) -> str:
    shown = ", ".join(names[:count])
    return shown if len(names) <= count else f"{shown} + {len(names) - count}"


def clip(text: str, length: int) -> str:
    """Return a text that is at most so long, with a mark at its end if it was longer."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _text(name: str, boxes: list[Box], edges: list[Edge]) -> str:
    titles = {box.number: box.title for box in boxes}
    lines = [name]
    for box in boxes[1:]:
        kind = "offload " if box.is_offload else ""
        lines.append(f"  {box.title}: {kind}{'filter, ' if box.is_filter and box.is_offload else ''}{box.detail}")
        coming = [edge for edge in edges if edge.target == box.number]
        lines += [f"    <- {titles[edge.source]}: {', '.join(edge.names) or 'events that pass'}" for edge in coming]
    return "\n".join(lines) + "\n"


def _dot(name: str, boxes: list[Box], edges: list[Edge]) -> str:
    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    lines = [f"digraph {quoted(name)} {{", "  rankdir=LR;", '  node [shape=box, fontname="Helvetica"];']
    for box in boxes:
        style = ", shape=octagon" if box.is_filter else ""
        style += ", peripheries=2" if box.is_offload else ""
        label = quoted(box.title)[:-1] + "\\n" + quoted(box.detail)[1:]
        lines.append(f"  n{box.number + 1} [label={label}{style}];")
    for edge in edges:
        dashed = ", style=dashed" if not edge.names else ""
        lines.append(f"  n{edge.source + 1} -> n{edge.target + 1} [label={quoted(_few(edge.names))}{dashed}];")
    return "\n".join([*lines, "}"]) + "\n"


# A place in a column: a box, by its number, or where lines of a box pass on their way to later columns.
_Place = tuple[int, int]


def _places(boxes: list[Box], edges: list[Edge]) -> tuple[dict[_Place, float], dict[int, float]]:
    """Find where each place lies, near the mean of those before it, so that few lines cross, and how high boxes are."""
    column = {box.number: box.column for box in boxes}
    coming = {box.number: [edge for edge in edges if edge.target == box.number] for box in boxes}
    heights = {number: max(_HEIGHT, 16.0 * len(found) + 12) for number, found in coming.items()}
    columns: dict[int, set[int]] = defaultdict(set)
    for edge in edges:
        for passed in range(column[edge.source] + 1, column[edge.target]):
            columns[passed].add(edge.source)
    middle: dict[_Place, float] = {}
    for number in sorted(set(column.values())):
        wanted: list[tuple[float, float, int]] = [
            (middle[number - 1, source], _PASSAGE, source) for source in sorted(columns[number])
        ]
        for box in (box for box in boxes if box.column == number):
            before = [middle[number - 1, edge.source] for edge in coming[box.number]]
            wanted.append((sum(before) / len(before) if before else 0.0, heights[box.number], box.number))
        wanted.sort(key=lambda place: place[0])
        total = sum(height for _, height, _ in wanted) + _GAP_Y * (len(wanted) - 1)
        top = -total / 2
        for _, height, source in wanted:
            middle[number, source] = top + height / 2
            top += height + _GAP_Y
    return middle, heights


def _svg(name: str, boxes: list[Box], edges: list[Edge]) -> str:
    column = {box.number: box.column for box in boxes}
    # What later modules read of the input stands in their boxes: lines for it would hide the others.
    edges = [edge for edge in edges if edge.source >= 0 or column[edge.target] == 1]
    middle, heights = _places(boxes, edges)
    top = min(y - heights[place[1]] / 2 for place, y in middle.items())
    middle = {place: y - top + _MARGIN + _TITLE for place, y in middle.items()}
    width = _MARGIN * 2 + _WIDTH + max(column.values()) * (_WIDTH + _GAP_X)
    height = max(y + heights[place[1]] / 2 for place, y in middle.items()) + _MARGIN
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" font-family="Helvetica, Arial, sans-serif">',
        f'<rect width="{width:g}" height="{height:g}" fill="white"/>',
        f'<text x="{_MARGIN}" y="{_MARGIN + 8}" font-size="17" font-weight="bold" fill="{_INK}">{escape(name)}</text>',
        f'<marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0L8 4L0 8z" fill="{_GREY}"/></marker>',
    ]
    labels = []
    for target, number in column.items():
        coming = [edge for edge in edges if edge.target == target]
        coming.sort(key=lambda edge, before=number - 1: middle[before, edge.source])  # type: ignore[misc]
        for i, edge in enumerate(coming, start=1):
            end = middle[number, target] - heights[target] / 2 + heights[target] * i / (len(coming) + 1)
            route = [middle[passed, edge.source] for passed in range(column[edge.source], number)]
            line, label = _edge(edge, column[edge.source], [*route, end])
            lines.append(line)
            labels.append(label)
    drawn = (_box(box, middle[box.column, box.number], heights[box.number]) for box in boxes)
    return "\n".join([*lines, *labels, *drawn, "</svg>"]) + "\n"


def _left(column: int) -> float:
    return _MARGIN + column * (_WIDTH + _GAP_X)


def _edge(edge: Edge, column: int, route: Sequence[float]) -> tuple[str, str]:
    """Draw a curve through the heights of a route, a column each, and the names at its end."""
    path = f"M{_left(column) + _WIDTH:g} {route[0]:g}"
    for before, after in pairwise(route):
        column += 1
        right, left = _left(column - 1) + _WIDTH, _left(column)
        half = (left + right) / 2
        path += f"L{right:g} {before:g}C{half:g} {before:g} {half:g} {after:g} {left:g} {after:g}"
    dashed = ' stroke-dasharray="4 4"' if not edge.names else ""
    line = (
        f'<path d="{path}" fill="none" stroke="{_GREY}" stroke-width="1.2"{dashed} marker-end="url(#tip)">'
        f"<title>{escape(', '.join(edge.names) or 'events that pass')}</title></path>"
    )
    text = edge.names[0] if len(edge.names) == 1 else f"{edge.names[0]} + {len(edge.names) - 1}" if edge.names else ""
    label = (
        f'<text x="{_left(column) - 10:g}" y="{route[-1] - 3:g}" font-size="9.5" text-anchor="end" fill="{_INK}" '
        f'stroke="white" stroke-width="3" paint-order="stroke">{escape(clip(text, 26))}</text>'
    )
    return line, label


def _box(box: Box, middle_y: float, height: float) -> str:
    colour = _BLUE if box.is_offload else _ORANGE if box.is_filter else _GREY if box.number < 0 else _INK
    x, y = _left(box.column), middle_y - height / 2
    right, bottom = x + _WIDTH, y + height
    if box.is_filter:
        points = [(x + _CUT, y), (right - _CUT, y), (right, y + _CUT), (right, bottom - _CUT), (right - _CUT, bottom)]
        points += [(x + _CUT, bottom), (x, bottom - _CUT), (x, y + _CUT)]
        outline = " ".join(f"{px:g},{py:g}" for px, py in points)
        shape = f'<polygon points="{outline}" fill="{_PALE}" stroke="{colour}" stroke-width="1.6"/>'
    else:
        shape = (
            f'<rect x="{x:g}" y="{y:g}" width="{_WIDTH}" height="{height:g}" rx="6" fill="{_PALE}" stroke="{colour}" '
            'stroke-width="1.6"/>'
        )
    if box.is_offload:
        shape += (
            f'<rect x="{x + 4:g}" y="{y + 4:g}" width="{_WIDTH - 8}" height="{height - 8:g}" rx="4" fill="none" '
            f'stroke="{colour}" stroke-width="0.8"/>'
        )
    texts = [(box.title, 23, f'font-size="13" font-weight="bold" fill="{_INK}"')]
    texts.append((box.detail, 32, f'font-size="10" fill="{_INK}"'))
    if box.reads and box.column > 1:
        texts.append((f"reads {_few(box.reads, 1)}", 33, f'font-size="9.5" font-style="italic" fill="{_GREY}"'))
    baseline = middle_y + 13 - 8 * len(texts)
    written = "".join(
        f'<text x="{x + _WIDTH / 2:g}" y="{baseline + 15 * i:g}" text-anchor="middle" {style}>'
        f"{escape(clip(text, length))}</text>"
        for i, (text, length, style) in enumerate(texts)
    )
    return f"<g><title>{escape(f'{box.title}: {box.detail}')}</title>{shape}{written}</g>"
