"""Text in another encoding is recognised before it is paid for."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.errors import SourceError
from penstock.models import Row

ReadRows = Callable[..., list[Row]]

CHINESE = "请把下面这段产品说明改写成更吸引人的文案，不要超过五十个字。"
CONTENTS = {
    "tasks.jsonl": f'{{"prompt": "{CHINESE}"}}\n' * 3,
    "tasks.csv": f"编号,提示词\n1,{CHINESE}\n2,{CHINESE}\n",
    "tasks.txt": f"{CHINESE}\n" * 3,
}


@pytest.mark.parametrize("name", CONTENTS)
@pytest.mark.parametrize(("encoding", "said"), [("gb18030", "GB18030"), ("gbk", "GB18030"), ("utf-16", "UTF-16")])
def test_another_encoding_is_recognised(
    tmp_path: Path, read_rows: ReadRows, name: str, encoding: str, said: str
) -> None:
    """The whole file is refused, with the command that converts it."""
    path = tmp_path / name
    path.write_bytes(CONTENTS[name].encode(encoding))
    with pytest.raises(SourceError, match=said) as refusal:
        read_rows(path)
    stem, extension = name.split(".")
    expected = f"iconv -f {said} -t UTF-8 {path} > {tmp_path}/{stem}.utf8.{extension}"
    assert refusal.value.hint == f"Convert it: {expected}"


def test_the_command_for_a_compressed_file_decompresses_it(tmp_path: Path, read_rows: ReadRows) -> None:
    """The command works as it stands for a compressed file, too."""
    path = tmp_path / "tasks.csv.gz"
    path.write_bytes(gzip.compress(CONTENTS["tasks.csv"].encode("gbk")))
    with pytest.raises(SourceError) as refusal:
        read_rows(path)
    expected = f"gzip -dc {path} | iconv -f GB18030 -t UTF-8 > {tmp_path}/tasks.utf8.csv"
    assert refusal.value.hint == f"Convert it: {expected}"


def test_a_long_file_in_utf8_is_not_taken_for_anything_else(tmp_path: Path, read_rows: ReadRows) -> None:
    """A character that is cut by the end of the sample is no sign of another encoding."""
    path = tmp_path / "tasks.txt"
    for shift in range(3):
        path.write_text("x" * shift + CHINESE * 3000, encoding="utf-8")
        assert [row.error for row in read_rows(path)] == [None]


def test_one_foreign_line_is_one_bad_row(tmp_path: Path, read_rows: ReadRows) -> None:
    """A line of GBK in a file of UTF-8 is named as such; the others are read."""
    path = tmp_path / "tasks.txt"
    path.write_bytes(f"{CHINESE}\n{CHINESE}\n".encode() + f"{CHINESE}\n".encode("gbk"))
    first, second, foreign = read_rows(path)
    assert first.error is None
    assert second.error is None
    assert foreign.error is not None
    assert foreign.error.startswith("This looks like GB18030 (GBK), not UTF-8. Convert it: iconv -f GB18030")


def test_a_file_of_latin_1_has_bad_rows(tmp_path: Path, read_rows: ReadRows) -> None:
    """Another encoding that cannot be told for sure gives bad rows only where it matters."""
    path = tmp_path / "tasks.csv"
    path.write_bytes("x\nGrüße\nplain\n".encode("latin-1"))
    assert [row.error is None for row in read_rows(path)] == [False, True]
