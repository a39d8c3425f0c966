from __future__ import annotations

import os

from sonic.files import replacing


def test_a_pipe_is_written_to_also_by_the_name_that_standard_output_has() -> None:
    read, write = os.pipe()
    with replacing(f"/dev/fd/{write}") as part:
        part.write_text("{}")
    os.close(write)
    with os.fdopen(read) as pipe:
        assert pipe.read() == "{}"
