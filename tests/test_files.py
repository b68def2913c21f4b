"""Files appear complete or not at all."""

import pytest

from scratchnet.support.files import write_text, write_whole


def test_a_write_that_fails_leaves_the_old_file_and_no_draft(tmp_path):
    file = tmp_path / "file"
    file.write_text("old")

    def half(out):
        out.write(b"half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_whole(file, half)
    assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == [("file", "old")]


def test_the_folder_of_a_file_is_made(tmp_path):
    assert write_text(tmp_path / "deep" / "er" / "letter.txt", "ä").read_bytes() == "ä".encode()


def test_a_folder_is_not_replaced_by_a_file(tmp_path):
    with pytest.raises(IsADirectoryError, match="expected the name of a file, got the folder"):
        write_text(tmp_path, "text")
    assert list(tmp_path.iterdir()) == []
