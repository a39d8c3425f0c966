from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic.errors import ConfigError
from sonic.server.tritonserver.flags import Settings, parse

REPOSITORY = "--model-repository=models"
MUTUAL = ("--grpc-use-ssl-mutual=true", "--grpc-server-cert=c", "--grpc-server-key=k")


def test_what_supersonic_gives() -> None:
    settings = parse(
        [
            "--model-repository=/cvmfs/a",
            "--model-repository",
            "/cvmfs/b",
            "--allow-gpu-metrics=true",
            "--log-verbose=0",
            "--strict-model-config=false",
            "--exit-timeout-secs=60",
        ]
    )
    assert settings == Settings(("/cvmfs/a", "/cvmfs/b"), drain_s=60.0)


def test_what_supersonic_gives_to_trace() -> None:
    flags = ["--trace-config", "mode=opentelemetry", "--trace-config=opentelemetry,resource=pod_name=west-1"]
    flags += ["--trace-config", "opentelemetry,url=tempo:4318/v1/traces", "--trace-config", "rate=100"]
    flags += ["--trace-config", "level=TIMESTAMPS", "--trace-config", "count=-1"]
    settings = parse([REPOSITORY, *flags])
    (warning,) = settings.warnings
    assert "OpenTelemetry, which is not offered" in warning
    assert settings == Settings(
        ("models",), trace={"trace_rate": "100", "trace_count": "-1"}, warnings=settings.warnings
    )


def test_what_cmstriton_gives() -> None:
    settings = parse(
        [
            *("--model-repository=/a", "--http-port=9000", "--grpc-port=9001", "--metrics-port=9002"),
            *("--log-verbose=1", "--log-error=1", "--log-warning=1", "--log-info=1"),
            *("--model-control-mode=explicit", "--load-model=x", "--load-model=y"),
        ]
    )
    assert (settings.http_port, settings.grpc_port, settings.metrics_port) == (9000, 9001, 9002)
    assert (settings.control, settings.models, settings.log_verbose) == ("explicit", ("x", "y"), 1)
    assert settings.warnings == ()


def test_triton_s_defaults() -> None:
    settings = parse([REPOSITORY])
    assert (settings.http_port, settings.grpc_port, settings.metrics_port) == (8000, 8001, 8002)
    assert {settings.http_host, settings.grpc_host, settings.metrics_host} == {"0.0.0.0"}
    assert (settings.control, settings.drain_s, settings.poll_s) == ("none", 30.0, 15.0)
    assert settings.exit_on_error
    assert settings.strict_readiness


@pytest.mark.parametrize(
    ("flags", "field", "value"),
    [
        (["--allow-http=0"], "http_port", None),
        (["--allow-grpc", "false"], "grpc_port", None),
        (["--allow-metrics=OFF"], "metrics_port", None),
        (["--http-address=::1"], "metrics_host", "::1"),
        (["--http-address=a", "--metrics-address=b"], "metrics_host", "b"),
        (["--grpc-address", "c"], "grpc_host", "c"),
        (["--exit-on-error=false"], "exit_on_error", False),
        (["--strict-readiness", "0"], "strict_readiness", False),
        (["--id", "west"], "name", "west"),
        (["--cores=2"], "cores", 2),
        (["--log-file=x"], "log_file", "x"),
        (["--log-info=false"], "log_info", False),
        (["--log-format=ISO8601"], "log_iso8601", True),
        (["--model-control-mode=poll", "--repository-poll-secs=3"], "poll_s", 3.0),
        (["--model-control-mode=explicit", "--load-model=*"], "models", ("*",)),
        (["--model-control-mode=EXPLICIT", "--repository-poll-secs=0"], "control", "explicit"),
        (["--model-control-mode=poll", "--repository-poll-secs=0"], "control", "none"),
        (["--trace-file=t", "--trace-level=MAX"], "trace", {"trace_level": "TIMESTAMPS"}),
        (["--backend-config=default-max-batch-size=7"], "default_max_batch", 7),
        (["--backend-config", "onnxruntime,default-max-batch-size=9"], "default_max_batch", 9),
        (["--model-repo=more"], "repositories", ("models", "more")),
        (["--model-store", "more"], "repositories", ("models", "more")),
        (["--grpc-use-ssl=false"], "grpc_port", 8001),
        (["--http-restricted-api="], "http_port", 8000),
        (["--grpc-header-forward-pattern", ""], "grpc_port", 8001),
        (["--grpc-use-ssl=1", "--grpc-server-cert=c", "--grpc-server-key=k"], "grpc_cert", "c"),
        (["--grpc-use-ssl=1", "--grpc-server-cert=c", "--grpc-server-key=k"], "grpc_key", "k"),
        (["--grpc-use-ssl=1", "--grpc-server-cert=c", "--grpc-server-key=k"], "grpc_client_ca", None),
        ([*MUTUAL, "--grpc-root-cert=a"], "grpc_client_ca", "a"),
        (["--grpc-socket=/run/g.sock"], "grpc_socket", "/run/g.sock"),
        (["--http-socket=/run/h.sock"], "http_socket", "/run/h.sock"),
        (["--allow-client-shm=false"], "allow_client_shm", False),
        (["--max-queue=0"], "max_queue", 0),
        (["--max-message-bytes=1000"], "max_message_bytes", 1000),
        (["--metrics-config", "counter_latencies=true"], "metrics_port", 8002),
        (["--trace-config", "triton,file=t"], "trace_file", "t"),
        (["--trace-config=mode=triton", "--trace-config=triton,file=t"], "trace_file", "t"),
        (["--trace-file=t"], "trace_file", "t"),
        (["--trace-file=t", "--trace-level=TIMESTAMPS"], "trace", {"trace_level": "TIMESTAMPS"}),
        (["--trace-config=rate=7", "--trace-config=triton,count=8"], "trace", {"trace_rate": "7", "trace_count": "8"}),
        (["--trace-log-frequency=9", "--trace-rate=3"], "trace", {"trace_rate": "3", "log_frequency": "9"}),
        (
            ["--trace-config=triton,log-frequency=5", "--trace-count=-1"],
            "trace",
            {"trace_count": "-1", "log_frequency": "5"},
        ),
    ],
)
def test_a_flag(flags: list[str], field: str, value: Any) -> None:
    settings = parse([REPOSITORY, *flags])
    assert getattr(settings, field) == value
    assert settings.warnings == ()


@pytest.mark.parametrize(
    ("flags", "warning"),
    [
        (["--nope"], "--nope is ignored: no such flag is known"),
        (["--nope=1"], "--nope is ignored: no such flag is known"),
        (["--nope", "1"], "--nope is ignored: no such flag is known"),
        (["--log=1"], "--log is ignored: no such flag is known"),  # of five
        (["--http-thread-count=8"], "--http-thread-count is ignored: it has no effect here"),
        (["--model-load-thread-count=8"], "--model-load-thread-count is ignored: it has no effect here"),
        (["--rate-limit", "execution_count"], "--rate-limit is ignored: it has no effect here"),
        (["--http-max-input-size=67108864"], "--http-max-input-size is ignored: requests of up to 2 GiB are taken"),
        (["--grpc-server-cert=c"], "--grpc-server-cert has no effect: it needs --grpc-use-ssl=true"),
        (["--metrics-config=summary_latencies=true"], "--metrics-config=summary_latencies=true is ignored: latencies"),
        (["--trace-config=level=TIMESTAMPS"], "nothing is traced: --trace-config triton,file=PATH is missing"),
        (["--trace-config=triton,colour=red"], "--trace-config=triton,colour=red is ignored: no such setting"),
        (["--trace-level=TENSORS"], "trace level TENSORS is ignored"),
        (["stray"], "'stray' is ignored: it belongs to no flag"),
        (["--strict-model-config=true"], "--strict-model-config=true has no effect: it is always false"),
        (["--disable-auto-complete-config"], "--disable-auto-complete-config has no effect"),
        (["--allow-gpu-metrics=false"], "--allow-gpu-metrics=false has no effect: it is always true"),
        (["--repository-poll-secs=15"], "--repository-poll-secs has no effect: it needs --model-control-mode=poll"),
        (["--backend-config=python,shm=1"], "--backend-config=python,shm=1 is ignored"),
        (["--http-port=1", "--http-port=8000"], "--http-port is given 2 times: the last one counts"),
    ],
)
def test_what_is_ignored_is_said(flags: list[str], warning: str) -> None:
    settings = parse([*flags, REPOSITORY])
    (given,) = settings.warnings
    assert given.startswith(warning)
    assert settings == Settings(("models",), warnings=(given,))


@pytest.mark.parametrize(
    ("flags", "error"),
    [
        ([], "no model repository is given"),
        ([REPOSITORY, "--http-port=x"], "--http-port expects a whole number, given 'x'"),
        ([REPOSITORY, "--allow-http=maybe"], "--allow-http expects true or false, given 'maybe'"),
        ([REPOSITORY, "--http-port"], "--http-port expects a value, given none"),
        ([REPOSITORY, "--model-control-mode=auto"], "--model-control-mode must be one of none, explicit, poll"),
        ([REPOSITORY, "--load-model=a"], "--load-model needs --model-control-mode=explicit, given none"),
        (
            [REPOSITORY, "--model-control-mode=explicit", "--load-model=*", "--load-model=a"],
            "--load-model=\\* loads every model: it stands alone",
        ),
        ([REPOSITORY, "--exit-timeout-secs=-1"], "--exit-timeout-secs must be 0 or more, given -1"),
        ([REPOSITORY, "--model-control-mode=poll", "--repository-poll-secs=-1"], "must be 0 or more, given -1"),
        ([REPOSITORY, "--log-format=json"], "--log-format must be one of default, ISO8601, given 'json'"),
        ([REPOSITORY, "--backend-config=what"], "--backend-config expects"),
        ([REPOSITORY, "--cores=0"], "--cores must be 1 or more, given 0"),
        ([REPOSITORY, "--grpc-use-ssl=true"], "--grpc-use-ssl needs --grpc-server-cert"),
        ([REPOSITORY, "--grpc-use-ssl=true", "--grpc-server-cert=c"], "--grpc-use-ssl needs --grpc-server-key"),
        ([REPOSITORY, *MUTUAL], "--grpc-use-ssl-mutual needs --grpc-root-cert"),
        (
            [REPOSITORY, "--http-restricted-api", "health:key=value"],
            "--http-restricted-api is not offered, and .* open",
        ),
        (
            [REPOSITORY, "--grpc-header-forward-pattern=X-.*"],
            "--grpc-header-forward-pattern is not offered, and .* models",
        ),
        ([REPOSITORY, "--model-config-name=gpu"], "--model-config-name is not offered, and .* configured"),
        ([REPOSITORY, "--max-queue=-1"], "--max-queue must be 0 or more, given -1"),
        ([REPOSITORY, "--trace-config=rate"], "--trace-config expects"),
        ([REPOSITORY, "--trace-config=rate=0"], "trace rate must be a whole number from 1, given '0'"),
        ([REPOSITORY, "--trace-config=count=many"], "trace count must be a whole number from -1, given 'many'"),
        ([REPOSITORY, "--trace-level=LOUD"], "trace level must be one of OFF, TIMESTAMPS, TENSORS, given 'LOUD'"),
    ],
)
def test_what_makes_no_sense(flags: list[str], error: str) -> None:
    with pytest.raises(ConfigError, match=error):
        parse(flags)


def test_help() -> None:
    assert parse(["-h"]).help
    assert parse(["--help"]).help


@given(
    st.lists(
        st.text(max_size=12) | st.sampled_from(["--http-port", "--nope", "--id=", "--", "-h", "--he", "1", "--=="])
    )
)
def test_any_words_are_settings_or_an_error(words: list[str]) -> None:
    with suppress(ConfigError):
        settings = parse([REPOSITORY, *words])
        assert "models" in settings.repositories or settings.help


@pytest.mark.parametrize(
    ("flags", "size"),
    [
        ([], 0),
        (["--cache-config", "local,size=4096"], 4096),
        (["--cache-config=local,size=1", "--cache-config=local,size=2"], 2),
        (["--response-cache-byte-size=77"], 77),
    ],
)
def test_room_for_responses(flags: list[str], size: int) -> None:
    settings = parse(["--model-repository=m", *flags])
    assert (settings.cache_bytes, settings.warnings) == (size, ())


def test_another_cache_is_ignored() -> None:
    settings = parse(["--model-repository=m", "--cache-config=redis,host=there"])
    assert settings.cache_bytes == 0
    assert settings.warnings == ("--cache-config=redis,host=there is ignored: local,size=BYTES has effect",)
