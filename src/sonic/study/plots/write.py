"""Pictures and pages to files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sonic.errors import ConfigError, DataError
from sonic.files import check_writable, writing
from sonic.study.models.compare import compare
from sonic.study.plots.album import Picture
from sonic.study.plots.curves import fits
from sonic.study.plots.report import report
from sonic.study.tables import fitted, parameters, verdict

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.figure import Figure

    from sonic.study.models.compare import Comparison
    from sonic.study.records import Record

FORMATS = ("png", "svg", "pdf")
_DPI = 150
_MOST_FITS_DRAWN = 8
"""Series of a target; more make a picture that no page has room for, and stand in the tables alone."""


def save(pictures: Sequence[Picture], folder: Path, kind: str = "png") -> list[Path]:
    """Write pictures into a folder, which is made if it is not there; return their files.

    Raises
    ------
    OutputError
        If they cannot be written.
    ConfigError
        If `kind` is none of :data:`FORMATS`.
    """
    if kind not in FORMATS:
        raise ConfigError(f"pictures are {', '.join(FORMATS)}, given {kind!r}")
    paths = []
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for each in pictures:
        paths.append(folder / f"{each.name}.{kind}")
        with writing(paths[-1]):
            each.figure.savefig(paths[-1], dpi=_DPI)
    return paths


def save_fits(compared: Sequence[Comparison], file: Path, y: str) -> None:
    """Draw fits into a file; see :func:`save_figure`."""
    save_figure(fits(compared, y), file)


def save_figure(figure: Figure, file: Path) -> None:
    """Write a picture to a file, in the format that its name ends in.

    Raises
    ------
    OutputError
        If it cannot be written.
    ConfigError
        If its name ends in none of :data:`FORMATS`.
    """
    check_picture(file)
    with writing(file):
        figure.savefig(file, dpi=_DPI)


def check_picture(file: Path) -> None:
    """See that a picture can be written, before what it shows is computed.

    Raises
    ------
    ConfigError
        If its name ends in none of :data:`FORMATS`.
    OutputError
        If it cannot be written (:func:`~sonic.files.check_writable`).
    """
    if file.suffix[1:] not in FORMATS:
        raise ConfigError(f"{file} ends in none of {', '.join(f'.{each}' for each in FORMATS)}")
    check_writable(file)


def save_report(
    records: Sequence[Record],
    pictures: Sequence[Picture],
    file: Path,
    *,
    title: str | None = None,
    notes: Sequence[str] = (),
    spec: Path | None = None,
) -> None:
    """Write the page, with the fits of what can be fitted.

    Raises
    ------
    OutputError
        If it cannot be written.
    DataError
        If there are no records, or the specification cannot be read.
    """
    try:
        specification = spec.read_text(encoding="utf-8") if spec is not None else ""
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {spec}: {error}") from error
    targets = list(dict.fromkeys(record.target for record in records))
    tables = []
    remarks, drawn = list(notes), list(pictures)
    for target in targets:
        try:
            compared = compare([record for record in records if record.target == target])
        except (ConfigError, DataError) as error:
            remarks.append(f"not fitted: {error}")
            continue
        if len(compared) <= _MOST_FITS_DRAWN:
            drawn.append(Picture(f"fits-{len(drawn)}", f"{target}: models fitted, best first", fits(compared)))
        for each in compared:
            name = target if each.series.label == target else f"{target}, {each.series.label}"
            said = [*verdict(each.fits, each.measured, each.x), *each.refused]
            tables.append((f"Fits: {name}", [fitted(each.fits), parameters(each.fits)] if each.fits else [], said))
    page = report(
        records,
        drawn,
        title=title or f"Study of {', '.join(targets)}",
        fits=tables,
        notes=remarks,
        specification=specification,
    )
    with writing(file):
        file.write_text(page, encoding="utf-8")
