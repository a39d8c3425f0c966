from __future__ import annotations

import warnings

import pytest

from sonic.framework.report import SINK, SOURCE, Phase, Record

pytest.importorskip("matplotlib")

from matplotlib.colors import to_hex

from sonic.framework.timeline import formats, timeline

MS = 1_000_000


def a_run(chunks=6, streams=3):
    """Two offloads and a plain module on each chunk, the chunks going around the streams."""
    records = []
    for chunk in range(chunks):
        at, stream = 10 * MS * chunk, chunk % streams
        records += [
            Record(SOURCE, Phase.RUN, chunk, stream, 0, at, at + MS),
            Record("tagger", Phase.ACQUIRE, chunk, stream, 0, at + MS, at + 2 * MS),
            Record("tagger", Phase.WAIT, chunk, stream, -1, at + 2 * MS, at + 20 * MS),
            Record("met", Phase.WAIT, chunk, stream, -1, at + 3 * MS, at + 15 * MS),
            Record("jets", Phase.RUN, chunk, stream, 1, at + 2 * MS, at + 9 * MS),
            Record("tagger", Phase.PRODUCE, chunk, stream, 0, at + 20 * MS, at + 21 * MS),
            Record(SINK, Phase.RUN, chunk, -1, 0, at + 21 * MS, at + 22 * MS),
        ]
    return records


def labels(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_streams_are_rows_and_modules_are_colours(tmp_path):
    figure = timeline(a_run(), title="miniaod", subtitle="12 events/s")
    rows = figure.axes[0]
    assert [label.get_text() for label in rows.get_yticklabels()] == ["0", "1", "2", "sink"]
    assert rows.get_title("left") == "miniaod"
    assert rows.get_title("right") == "12 events/s"
    assert labels(figure) == ["tagger", "met", "jets", "source", "sink", "waits for server"]
    colours = {to_hex(patch.get_facecolor()) for patch in figure.legends[0].get_patches()}
    assert len(colours) == 6
    figure.savefig(tmp_path / "timeline.png")
    assert (tmp_path / "timeline.png").stat().st_size > 10_000


def test_waits_are_hatched_and_work_is_not():
    collections = timeline(a_run()).axes[0].collections
    hatched = [bars for bars in collections if bars.get_hatch()]
    plain = [bars for bars in collections if not bars.get_hatch()]
    # Two offloads wait on each of three streams; source, tagger and jets work there, and the sink has its row.
    assert len(hatched) == 2 * 3
    assert len(plain) == 3 * 3 + 1


def test_a_very_long_name_leaves_room_for_the_rows(tmp_path):
    figure = timeline([Record("m" * 200, Phase.RUN, 0, 0, 0, 5 * MS, 8 * MS)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib's, of axes without a size
        figure.savefig(tmp_path / "timeline.png")
    assert labels(figure) == ["m" * 39 + "…"]


def test_bars_lie_where_the_records_say():
    (bars,) = timeline([Record("jets", Phase.RUN, 0, 0, 0, 5 * MS, 8 * MS)]).axes[0].collections
    box = bars.get_paths()[0].get_extents()
    assert (box.x0, box.x1) == (5.0, 8.0)
    assert 0 <= box.y0 < box.y1 <= 1


def test_a_long_run_is_shown_in_part_and_a_window_can_be_chosen():
    records = a_run(chunks=400)
    low, high = timeline(records).axes[0].get_xlim()
    assert 0 < low < high < 22 + 10 * 400
    assert timeline(records, window_s=(0.5, 0.75)).axes[0].get_xlim() == (500.0, 750.0)
    assert timeline(a_run()).axes[0].get_xlim() == (0.0, 72.0)


def test_seconds_for_a_slow_run():
    figure = timeline([Record("jets", Phase.RUN, 0, 0, 0, 0, 5000 * MS)])
    assert figure.axes[1].get_xlabel() == "time since the job began [s]"
    assert figure.axes[0].get_xlim() == (0.0, 5.0)


def test_a_run_without_records_or_requests(tmp_path):
    timeline([]).savefig(tmp_path / "none.png")
    figure = timeline([record for record in a_run() if record.phase is Phase.RUN])
    assert "waits for server" not in labels(figure)
    figure.savefig(tmp_path / "plain.png")


def test_formats():
    assert {".png", ".pdf", ".svg"} <= set(formats())


def test_many_streams_and_modules(tmp_path):
    records = [Record(f"module{i % 14}", Phase.RUN, i, i % 60, 0, i * MS, (i + 1) * MS) for i in range(200)]
    figure = timeline(records)
    figure.savefig(tmp_path / "many.png")
    assert len(figure.axes[0].get_yticks()) < 32
