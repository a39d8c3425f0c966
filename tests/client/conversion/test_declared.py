from __future__ import annotations

import pickle
from typing import Any

import awkward as ak
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic.client.conversion import Clip, Conversion, Flattened, Log, Padded, Rows, Scale
from sonic.errors import ConfigError, InvalidRequest, ModelFailed

TYPED = [None, [], [{"pt": None, "charge": 0}, {"pt": 1.0, "charge": 1}]]
"""An event of jets of particles with everything that may be missing."""

PARTICLES = Padded(size=3, truncate=True)
TAGGER = Conversion(
    {"points": PARTICLES.channels("pt", "charge", fill=-1), "mask": PARTICLES.mask()},
    {"weight": PARTICLES.values(), "score": Rows().values("b", "c")},
    rows=1,
)
GRAPH = Conversion(
    {"x": Flattened().channels("pt", "charge"), "ends": Flattened().offsets(), "of": Flattened().row_numbers()},
    {"weight": Flattened().values()},
    rows=1,
)

particle = st.fixed_dictionaries({"pt": st.none() | st.floats(0.5, 100), "charge": st.integers(-1, 1)})
events_of_jets = st.lists(st.lists(st.none() | st.lists(particle, max_size=5), max_size=3), max_size=4)


def made(events: list[Any]) -> ak.Array:
    """Of the type that is meant, also where an example lacks an element to tell it."""
    return ak.Array([*events, TYPED])[:-1]


def virtual(array: ak.Array) -> tuple[ak.Array, list[str]]:
    """The same array, read when it is asked for, and what has been read."""
    form, length, buffers = ak.to_buffers(array)
    read: list[str] = []
    lazy = {key: (lambda key=key, value=value: (read.append(key), value)[1]) for key, value in buffers.items()}
    return ak.from_buffers(form, length, lazy, highlevel=True), read


@given(events_of_jets)
def test_padded_and_back(events: list[Any]) -> None:
    laid = TAGGER.lay(made(events))
    jets = [jet for event in events for jet in event if jet is not None]
    points, mask = laid.inputs["points"], laid.inputs["mask"]
    assert points.shape == (len(jets), 2, 3)
    assert mask.shape == (len(jets), 1, 3)
    for i, jet in enumerate(jets):
        kept = jet[:3]
        assert mask[i, 0].tolist() == [1.0] * len(kept) + [0.0] * (3 - len(kept))
        expected = [np.float32(-1 if p["pt"] is None else p["pt"]) for p in kept]
        assert points[i, 0].tolist() == [*expected, *[-1.0] * (3 - len(kept))]
    score = np.arange(2.0 * len(jets)).reshape(len(jets), 2)
    outputs = {"weight": points[:, 0], "score": score}
    back = laid.give_back(outputs)
    again = TAGGER.give_back(made(events), outputs)
    assert {name: array.to_list() for name, array in again.items()} == {n: a.to_list() for n, a in back.items()}
    number = iter(range(len(jets)))
    assert back["score"].to_list() == [
        [None if jet is None else {"b": 2.0 * (i := next(number)), "c": 2.0 * i + 1} for jet in event]
        for event in events
    ]
    assert back["weight"].to_list() == [
        [
            None
            if jet is None
            else [None if i > 2 else np.float32(-1 if p["pt"] is None else p["pt"]) for i, p in enumerate(jet)]
            for jet in event
        ]
        for event in events
    ]


@given(events_of_jets)
def test_flattened_and_back(events: list[Any]) -> None:
    laid = GRAPH.lay(made(events))
    jets = [jet for event in events for jet in event if jet is not None]
    x, ends = laid.inputs["x"], laid.inputs["ends"]
    assert ends.tolist() == [sum(map(len, jets[:i])) for i in range(len(jets) + 1)][: len(ends)]
    assert len(ends) == (len(jets) + 1 if jets else 0)
    assert laid.inputs["of"].tolist() == [i for i, jet in enumerate(jets) for _ in jet]
    back = laid.give_back({"weight": x[:, 1]})["weight"]
    assert back.to_list() == [[jet and [p["charge"] for p in jet] for jet in event] for event in events]


@given(events_of_jets)
def test_virtual_arrays_give_what_eager_ones_do_and_only_what_is_declared_is_read(events: list[Any]) -> None:
    lazy, read = virtual(made(events))
    conversion = Conversion({"x": PARTICLES.channels("charge")}, rows=1)
    np.testing.assert_array_equal(conversion.lay(lazy).inputs["x"], conversion.lay(made(events)).inputs["x"])
    whole, all_read = virtual(made(events))
    ak.materialize(whole)
    assert len(set(read)) < len(set(all_read))


def test_of_a_selection_of_virtual_jets_what_is_not_declared_stays_unread() -> None:
    jets = ak.Array(
        [[{"pt": 1.0, "eta": 0.5, "pf": [{"charge": 1, "mass": 0.1}]}], [{"pt": 3.0, "eta": 1.5, "pf": []}]]
    )
    lazy, read = virtual(jets)
    chosen = lazy[lazy.pt > 2]
    particles = Padded("pf", size=2)
    conversion = Conversion(
        {"jet": Rows().channels("pt"), "charge": particles.channels("charge"), "mask": particles.mask()}, rows=1
    )
    inputs = conversion.lay(chosen).inputs
    assert inputs["jet"].tolist() == [[3.0]]
    assert inputs["mask"].tolist() == [[[0.0, 0.0]]]
    record = ak.to_buffers(jets)[0].content
    unread = [record.content("eta").form_key, record.content("pf").content.content("mass").form_key]
    assert not [key for key in read if key.removesuffix("-data") in unread]


def test_by_default_the_longest_list_of_the_chunk_gives_the_size() -> None:
    particles = Padded("pf")
    conversion = Conversion({"x": particles.channels("pt", axis=None), "mask": particles.mask(axis=2)})
    events = ak.Array([{"pf": [{"pt": 1.0}]}, {"pf": [{"pt": 2.0}, {"pt": 3.0}]}])
    inputs = conversion.lay(events).inputs
    assert inputs["x"].tolist() == [[1.0, 0.0], [2.0, 3.0]]
    assert inputs["mask"].tolist() == [[[1.0], [0.0]], [[1.0], [1.0]]]
    assert conversion.lay(events[:0]).inputs["x"].shape == (0, 1)


def test_sorted_and_cut_the_highest_are_kept_and_come_back_in_their_places() -> None:
    particles = Padded(size=2, truncate=True, order_by="pt")
    conversion = Conversion({"x": particles.channels("pt", axis=None)}, {"y": particles.values()})
    jets = ak.Array([[{"pt": 1.0}, {"pt": 3.0}, {"pt": 2.0}], [{"pt": 5.0}]])
    laid = conversion.lay(jets)
    assert laid.inputs["x"].tolist() == [[3.0, 2.0], [5.0, 0.0]]
    assert laid.give_back({"y": laid.inputs["x"] * 10})["y"].to_list() == [[None, 30.0, 20.0], [50.0]]


@pytest.mark.parametrize(
    ("particles", "expected"),
    [
        (Padded(size=2, truncate=True), "var * ?float32"),
        (Padded(size=3), "var * float32"),
        (Padded(truncate=True), "var * float32"),  # as long as the longest: nothing is cut
    ],
)
def test_whether_an_output_may_be_missing_does_not_depend_on_the_data(particles: Padded, expected: str) -> None:
    conversion = Conversion({"x": particles.channels(axis=None)}, {"y": particles.values()})
    for lists in ([[1.0, 2.0], [3.0]], [[1.0, 2.0, 3.0]], [[1.0]]):
        laid = conversion.lay(ak.Array(lists))
        assert str(laid.give_back({"y": laid.inputs["x"]})["y"].layout.form.type) == expected


def test_channels_last_and_transforms_in_their_order() -> None:
    particles = Padded(size=2)
    channels = particles.channels(
        ("pt", Log(1.0), Scale(2.0, offset=1.0)), ("pt", Clip(0, 5)), ("pt", np.sqrt), axis=2, dtype=np.float64
    )
    jets = ak.Array([[{"pt": 16.0}, {"pt": None}]])
    inputs = Conversion({"x": channels}).lay(jets).inputs
    assert inputs["x"] == pytest.approx(np.array([[[2 * (np.log(16) - 1), 5.0, 4.0], [0.0, 0.0, 0.0]]]))


def test_rows_by_themselves_and_several_lists_of_one_row() -> None:
    tracks, hits = Padded("tracks", size=1), Flattened("hits")
    conversion = Conversion(
        {
            "event": Rows().channels("met", ("n", Scale(0.1))),
            "tracks": tracks.channels(axis=None),
            "hits": hits.channels(),
            "number": hits.counts(dtype=np.int32),
        }
    )
    events = ak.Array(
        [{"met": 5.0, "n": 10, "tracks": [1.5], "hits": [1, 2]}, {"met": 6.0, "n": 20, "tracks": [], "hits": []}]
    )
    inputs = conversion.lay(events).inputs
    assert inputs["event"].tolist() == [[5.0, 1.0], [6.0, 2.0]]
    assert inputs["tracks"].tolist() == [[1.5], [0.0]]
    assert inputs["hits"].tolist() == [[1.0], [2.0]]
    assert inputs["number"].tolist() == [2, 0]
    assert inputs["number"].dtype == np.int32


def test_regular_lists_come_back_regular_and_missing_events_missing() -> None:
    conversion = Conversion({"x": Rows().channels()}, rows=1)
    regular = ak.Array(np.arange(6.0).reshape(3, 2))
    back = conversion.lay(regular).give_back({"y": np.arange(6)})["y"]
    assert str(back.type) == "3 * 2 * int64"
    back = conversion.lay(ak.Array([[1.0], None, [2.0, 3.0]])).give_back({"y": np.arange(3)})["y"]
    assert back.to_list() == [[0], None, [1, 2]]


def test_an_array_of_nothing_at_all_has_no_rows_whatever_is_declared() -> None:
    laid = TAGGER.lay(ak.Array([]))
    assert {name: array.shape for name, array in laid.inputs.items()} == {"points": (0, 2, 3), "mask": (0, 1, 3)}
    free = np.zeros((0, 0), np.float32)  # what a client makes of sizes that the model leaves free
    back = laid.give_back({"weight": free, "score": free})
    assert [len(array) for array in back.values()] == [0, 0]
    assert back["score"].fields == ["b", "c"]
    assert len(laid) == 0


def test_the_structure_of_indexed_and_sliced_arrays_is_theirs() -> None:
    jets = made([[[{"pt": 1.0, "charge": 1}]], [[], [{"pt": 2.0, "charge": 0}]], []])
    chosen = jets[[1, 0, 1]][1:]
    laid = TAGGER.lay(chosen)
    assert laid.inputs["points"][:, 0, 0].tolist() == [1.0, -1.0, 2.0]
    assert ak.num(laid.give_back({"y": np.zeros(3)})["y"]).to_list() == [1, 2]


def test_it_is_pickled_with_its_transforms() -> None:
    conversion = Conversion({"x": Rows().channels(("pt", Log(), np.tanh))})
    again = pickle.loads(pickle.dumps(conversion))
    events = ak.Array([{"pt": 2.0}])
    np.testing.assert_array_equal(again.lay(events).inputs["x"], conversion.lay(events).inputs["x"])


@pytest.mark.parametrize(
    ("conversion", "events", "message"),
    [
        (Conversion({"x": Rows().channels("pt")}), [{"eta": 1.0}], "input 'x': expected a field 'pt', given eta"),
        (Conversion({"x": Rows().channels("pt")}), [1.0], "input 'x': expected a field 'pt', given no fields"),
        (Conversion({"x": Rows().channels("pt")}), [{"pt": "high"}], "input 'x': field 'pt': expected one number"),
        (Conversion({"x": Rows().channels("pt")}), [{"pt": [1.0]}], "input 'x': field 'pt': expected one number"),
        (Conversion({"x": Rows().channels("pt")}), [{"pt": 1.0}, {"pt": "a"}], "field 'pt': expected one number"),
        (Conversion({"x": Rows().channels()}, rows=1), [1.0], "expected 1 more level(s) of lists, given float64"),
        (Conversion({"x": Rows().channels()}, rows=1), ["text"], "expected 1 more level(s) of lists, given string"),
        (Conversion({"x": Padded("pf").channels()}), [{"pf": 1.0}], "input 'x': expected 1 more level"),
        (
            Conversion({"x": Padded(size=2).channels()}),
            [[1.0, 2.0, 3.0]],
            "input 'x': expected lists of at most 2, given one of 3: cut with truncate=True",
        ),
        (
            Conversion({"x": Rows().channels(("pt", np.sum))}),
            [{"pt": 1.0}],
            "input 'x': field 'pt': <function sum",
        ),
        (
            Conversion({"x": Rows().channels("id", dtype=np.int8)}),
            [{"id": 300}],
            "input 'x': field 'id': int8 cannot hold the value 300",
        ),
        (Conversion({"x": Rows().channels("id", dtype=np.uint8)}), [{"id": -1}], "uint8 cannot hold the value -1"),
        (Conversion({"x": Rows().channels("id", dtype=np.int64)}), [{"id": np.nan}], "int64 cannot hold the value nan"),
        (
            Conversion({"x": Rows().channels(("id", np.float16), dtype=np.int64)}),
            [{"id": -np.inf}],
            "int64 cannot hold the value -inf",
        ),
        (Conversion({"x": Rows().channels("id", dtype=np.int64)}), [{"id": 1.5}], "int64 cannot hold the value 1.5"),
        (Conversion({"x": Rows().channels("id", dtype=np.int64)}), [{"id": 2.0**63}], "int64 cannot hold the value 9"),
        (Conversion({"x": Flattened().channels(dtype=np.int32)}), [[1.0, np.inf]], "int32 cannot hold the value inf"),
        (
            Conversion({"x": Padded(size=2).channels(axis=None, dtype=np.int32)}),
            [[1.0], [2.0**31]],
            "input 'x': int32 cannot hold the value 2147483648.0",
        ),
        (
            Conversion({"x": Rows().channels("pt")}),
            [{"pt": 1.0}, {"pt": 1e300}],
            "input 'x': field 'pt': float32 cannot hold values as large as given",
        ),
        (Conversion({"x": Rows().channels("n", dtype=np.float16)}), [{"n": 100_000}], "float16 cannot hold values as"),
        (Conversion({"x": Padded().channels()}), [[1 + 2j]], "input 'x': float32 cannot hold values of complex128"),
        (
            Conversion({"x": Rows().channels(("pt", lambda pt: pt.astype(str)))}),
            [{"pt": 1.0}],
            "field 'pt': float32 cannot hold values of <U",
        ),
        (Conversion({"x": Flattened().offsets(dtype=np.int8)}), [[0] * 200], "int8 cannot hold the value 200"),
        (Conversion({"x": Flattened().counts(dtype=np.int8)}), [[0] * 200], "int8 cannot hold the value 200"),
        (Conversion({"x": Flattened().row_numbers(dtype=np.int8)}), [[0]] * 200, "int8 cannot hold the value 199"),
    ],
)
def test_what_does_not_fit_is_told(conversion: Conversion, events: list[Any], message: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        conversion.lay(ak.Array(events))
    assert message in str(caught.value)


@pytest.mark.parametrize("number", [2**53 + 1, -(2**63), 2**63 - 1])
def test_integers_stay_what_they_are_where_others_are_missing(number: int) -> None:
    rows = Rows().channels("id", dtype=np.int64, fill=-1)
    lists = Padded("pf", size=2).channels("id", axis=None, dtype=np.int64, fill=-1)
    flat = Flattened("pf").channels("id", dtype=np.int64, fill=-1)
    some, none = {"id": number}, {"id": None}
    events = ak.Array([some | {"pf": [some]}, none | {"pf": [none, some]}])
    inputs = Conversion({"rows": rows, "lists": lists, "flat": flat}).lay(events).inputs
    assert {name: array.tolist() for name, array in inputs.items()} == {
        "rows": [[number], [-1]],
        "lists": [[number, -1], [-1, number]],
        "flat": [[number], [-1], [number]],
    }


def test_what_transforms_make_numbers_of_may_be_anything() -> None:
    size = Conversion({"x": Rows().channels(("z", np.abs))})
    assert size.lay(ak.Array([{"z": 3 + 4j}])).inputs["x"].tolist() == [[5.0]]


def test_infinity_stays_what_it_is() -> None:
    channels = Conversion({"x": Rows().channels("x", dtype=np.float16)})
    assert channels.lay(ak.Array([{"x": -np.inf}, {"x": 1e-30}])).inputs["x"].tolist() == [[-np.inf], [0.0]]


def test_whole_numbers_may_become_integers() -> None:
    channels = Rows().channels("x", ("x", Scale(0.5)), dtype=np.int8)
    assert Conversion({"x": channels}).lay(ak.Array([{"x": -128.0}, {"x": 126.0}])).inputs["x"].tolist() == [
        [-128, -64],
        [126, 63],
    ]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(3), r"output 'weight': expected shape \[2, 3, '...'\], given \[3\]"),
        (np.zeros((2, 2)), r"output 'weight': expected shape \[2, 3, '...'\], given \[2, 2\]"),
    ],
)
def test_outputs_that_do_not_fit_are_the_model_s_failure(array: np.ndarray, message: str) -> None:
    laid = TAGGER.lay(made([[[], []]]))
    with pytest.raises(ModelFailed, match=message):
        laid.give_back({"weight": array})
    with pytest.raises(ModelFailed, match="output 'score': expected a last axis of 2, b, c"):
        laid.give_back({"score": np.zeros((2, 5))})
    with pytest.raises(ModelFailed, match=r"output 'other': expected shape \[2, '...'\], given \[1\]"):
        laid.give_back({"other": np.zeros(1)})


@pytest.mark.parametrize(
    "declare",
    [
        lambda: Conversion({}),
        lambda: Conversion({"x": Rows().channels()}, rows=-1),
        lambda: Conversion({"x": "pt"}),  # type: ignore[dict-item]
        lambda: Conversion({"x": Rows().channels()}, {"y": Rows()}),  # type: ignore[dict-item]
        lambda: Padded(size=0),
        lambda: Padded().channels("a", "b", axis=None),
        lambda: Padded().channels("a", axis=3),
        lambda: Padded().mask(axis=0),
        lambda: Rows().channels(("pt", "eta")),
        lambda: Rows().channels((np.log, "pt")),
        lambda: Rows().channels("pt", dtype=np.int32, fill=0.5),
        lambda: Padded().channels("pt", dtype=np.int32, fill=np.nan),
        lambda: Flattened().channels("pt", dtype=np.uint8, fill=-1),
        lambda: Rows().channels("pt", fill=1e300),
    ],
)
def test_declarations_that_make_no_sense(declare: Any) -> None:
    with pytest.raises(ConfigError):
        declare()
