"""Requests over HTTP."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from hypothesis import strategies as st

from sonic.protocol.http_codec import HEADER_LENGTH
from sonic.testing.hostile.configs import loads
from sonic.testing.hostile.values import infer_documents, integers, json_bodies, json_values, mostly, names, texts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hypothesis.strategies import DrawFn, SearchStrategy

    from sonic.testing.hostile.values import Inputs

_BOMB = gzip.compress(bytes(1 << 23), mtime=0)


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request over HTTP, as it goes out.

    Parameters
    ----------
    method : str
    target : str
        Path and query, escaped already.
    headers : dict of str to str
        Without Host and Content-Length.
    body : bytes
    """

    method: str
    target: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@st.composite
def exchanges(draw: DrawFn, models: Mapping[str, Inputs], regions: Sequence[str] = ()) -> Exchange:
    """Draw a request over HTTP.

    Parameters
    ----------
    models : mapping
        By name, the inputs of the models that the server has.
    regions : sequence of str
        Shared memory that is registered.
    """
    kind = draw(st.sampled_from(("infer", "infer", "infer", "document", "anything")))
    name = draw(st.sampled_from(list(models)))
    model = quote(draw(mostly(st.just(name), names)), safe=draw(st.sampled_from(("", "/."))))
    headers: dict[str, str] = {}
    if draw(st.integers(0, 9)) == 9:
        headers["Authorization"] = draw(
            st.sampled_from(("Bearer x", "Bearer a.b.c", "Basic", "Bearer " + "W1tb" * 3000))
        )
    if kind == "infer":
        document, tail = draw(infer_documents(models[name], regions))
        head = draw(json_bodies(st.just(document)))
        if tail or draw(st.booleans()):
            length = mostly(st.just(str(len(head))), texts.filter(_is_header) | integers.map(str))
            headers[HEADER_LENGTH] = draw(length)
        version = draw(
            mostly(st.sampled_from(("", "/versions/1")), st.sampled_from(("9", "..", "%00")).map("/versions/".__add__))
        )
        body = draw(_encoded(head + tail, headers))
        return Exchange("POST", f"/v2/models/{model}{version}/infer", headers, body)
    if kind == "document":
        method, target, documents = draw(st.sampled_from(_documents(model, regions)))
        body = draw(_encoded(draw(json_bodies(documents)), headers))
        return Exchange(method, target, headers, body)
    parts = st.sampled_from(("v2", "models", "health", "ready", "stats", "config", "repository", "index", "metrics"))
    steps = draw(st.lists(parts | names.map(lambda name: quote(name, safe="")) | st.just(model), max_size=6))
    query = draw(st.sampled_from(("", "", "?", "?a=b&a", "?%", "?" + "x" * 300)))
    method = draw(st.sampled_from(("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE")))
    return Exchange(method, f"/{'/'.join(steps)}{query}", headers, draw(st.binary(max_size=20)))


def _documents(model: str, regions: Sequence[str]) -> list[tuple[str, str, SearchStrategy[Any]]]:
    """Return the routes that take a document, with documents that are nearly right."""
    region = quote(regions[0] if regions else "r", safe="")
    settings = ("log_info", "log_verbose_level", "log_file", "log_format", "trace_level", "trace_rate", "trace_count")
    changes = st.dictionaries(st.sampled_from(settings) | names, json_values | st.lists(texts, max_size=2), max_size=3)
    place = st.fixed_dictionaries(
        {"key": names, "byte_size": mostly(integers, json_values)}, optional={"offset": mostly(integers, json_values)}
    )
    return [
        ("POST", "/v2/repository/index", st.fixed_dictionaries({"ready": json_values}) | json_values),
        ("POST", f"/v2/repository/models/{model}/load", loads | json_values),
        ("POST", f"/v2/repository/models/{model}/unload", json_values.map(lambda value: {"parameters": value})),
        ("POST", f"/v2/systemsharedmemory/region/{region}x/register", place | json_values),
        ("POST", f"/v2/systemsharedmemory/region/{model}/register", place),
        ("GET", f"/v2/systemsharedmemory/region/{model}/status", json_values),
        ("POST", f"/v2/systemsharedmemory/region/{model}/unregister", json_values),
        ("POST", f"/v2/cudasharedmemory/region/{model}/register", json_values),
        ("POST", "/v2/logging", changes | json_values),
        ("POST", "/v2/trace/setting", changes | json_values),
        ("POST", f"/v2/models/{model}/trace/setting", changes),
    ]


@st.composite
def _encoded(draw: DrawFn, body: bytes, headers: dict[str, str]) -> bytes:
    """Draw how a body is compressed, and say so in the headers, or something else."""
    how = draw(mostly(st.just("as it is"), st.sampled_from(("gzip", "gzip", "deflate", "bomb", "lie", "cut"))))
    if how == "as it is":
        return body
    headers["Content-Encoding"] = "gzip" if how in ("bomb", "lie", "cut") else how
    if how == "bomb":
        return _BOMB
    if how == "lie":
        headers["Content-Encoding"] = draw(st.sampled_from(("gzip", "deflate", "br", "gzip, gzip", "x" * 99)))
        return body
    packed = zlib.compress(body) if how == "deflate" else gzip.compress(body, mtime=0)
    return packed[:-3] if how == "cut" else packed


def _is_header(text: str) -> bool:
    return text.isascii() and text.isprintable()
