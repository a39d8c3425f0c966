from __future__ import annotations

import pytest

from sonic.errors import ConfigError
from sonic.protocol.checksums import Checksum, differences, read_checksums, write_checksums
from sonic.protocol.modelconfig import parse

DIGEST = "0cc175b9c0f1b6a831c399e269772661"
OTHER = "92eb5ffee6ae2fec3ad71c777531578f"
ONE = Checksum("MD5", "1/model.onnx", DIGEST)
TWO = Checksum("SHA256", "2/model.onnx", "ab" * 32)

# As the models of CMS have it, with a comma between key and value.
OF_CMS = f"""
name: "m"
model_repository_agents
{{
  agents [
    {{
      name: "checksum",
      parameters
      {{
        key: "MD5:1/model.onnx",
        value: "{DIGEST}"
      }}
    }}
  ]
}}
"""


def agent(key: str, value: str) -> str:
    return f'model_repository_agents {{ agents {{ name: "checksum" parameters {{ key: "{key}" value: "{value}" }} }} }}'


def test_what_triton_reads_is_read():
    assert read_checksums(parse(OF_CMS)) == (ONE,)
    assert ONE.key == "MD5:1/model.onnx"
    assert ONE.version == "1"


def test_the_algorithm_may_be_written_small_and_the_digest_large():
    assert read_checksums(parse(agent("md5:1/model.onnx", DIGEST.upper()))) == (ONE,)


def test_what_no_agent_is_named_for_has_no_checksums():
    assert read_checksums(parse("")) == ()


def test_an_agent_that_might_have_to_change_the_files_is_not_passed_over():
    config = parse(OF_CMS.replace('"checksum"', '"decrypt"'))
    with pytest.raises(ConfigError, match="repository agent 'decrypt' is not known, which the model needs; 'checksum'"):
        read_checksums(config)
    assert read_checksums(config, strict=False) == ()


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("1/model.onnx", DIGEST, "expected MD5:PATH or SHA256:PATH"),
        ("CRC32:1/model.onnx", DIGEST, "expected MD5:PATH or SHA256:PATH"),
        ("MD5:../other/1/model.onnx", DIGEST, "no file in the model's folder"),
        ("MD5:/etc/passwd", DIGEST, "no file in the model's folder"),
        ("MD5:", DIGEST, "no file in the model's folder"),
        ("MD5:1/", DIGEST, "no file in the model's folder"),
        ("MD5:1/model.onnx", "ab" * 32, "expected 32 hexadecimal digits"),
        ("SHA256:1/model.onnx", DIGEST, "expected 64 hexadecimal digits"),
        ("MD5:1/model.onnx", "", "expected 32 hexadecimal digits"),
    ],
)
def test_what_is_no_checksum(key: str, value: str, says: str) -> None:
    config = parse(agent(key, value))
    with pytest.raises(ConfigError, match=says):
        read_checksums(config)
    assert read_checksums(config, strict=False) == ()


def test_which_version_a_file_belongs_to():
    assert [Checksum("MD5", path, DIGEST).version for path in ("12/a/b", "labels.txt", "warmup/x", "7")] == [
        "12",
        "",
        "",
        "",
    ]
    assert ONE.concerns("1")
    assert ONE.concerns("")
    assert not ONE.concerns("2")
    assert Checksum("MD5", "labels.txt", DIGEST).concerns("2")


def test_the_rest_of_a_file_stays_as_it_is_written():
    before = '# ours\nname: "m"  # model_repository_agents { }\n'
    after = 'max_batch_size: 8 # and more\nparameters { key: "a}" value { string_value: "\\"{" } }\n'
    first = write_checksums(before + after, [ONE])
    assert first.startswith(before + after)
    assert read_checksums(parse(first)) == (ONE,)
    changed = write_checksums(before + OF_CMS.split("\n", 2)[2].rstrip() + ";\n" + after, [TWO])
    assert changed.startswith(before)
    assert changed.endswith(after)
    assert read_checksums(parse(changed)) == (TWO,)
    assert write_checksums(changed, [TWO]) == changed
    assert write_checksums(first, []) == before + after


@pytest.mark.parametrize("text", ["", 'name: "m"', "model_repository_agents < agents < name: 'checksum' > >"])
def test_into_any_text(text: str) -> None:
    assert read_checksums(parse(write_checksums(text, [ONE, TWO]))) == (ONE, TWO)


def test_other_agents_stay():
    text = (
        'model_repository_agents { agents [ { name: "a" parameters { key: "k" value: "v" } }, { name: "checksum" } ] }'
    )
    config = parse(write_checksums(text, [ONE]))
    assert [a.name for a in config.model_repository_agents.agents] == ["a", "checksum"]
    assert config.model_repository_agents.agents[0].parameters == {"k": "v"}
    assert [a.name for a in parse(write_checksums(text, [])).model_repository_agents.agents] == ["a"]


def test_a_text_that_cannot_be_read():
    with pytest.raises(ConfigError, match="here:1"):
        write_checksums("name: {", [ONE], "here")


def test_comparing():
    ours = {("MD5", "1/model.onnx"): OTHER, ("SHA256", "2/model.onnx"): TWO.digest}
    unknown = Checksum("MD5", "3/model.onnx", DIGEST)
    differ, compared = differences(lambda algorithm, path: ours.get((algorithm, path)), [ONE, TWO, unknown])
    assert differ == [(ONE, OTHER)]
    assert compared == 2
