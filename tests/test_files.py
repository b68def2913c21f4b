"""Files appear complete or not at all."""

import signal
import subprocess
import sys

import pytest
from forced import functions_of, interruptions, press_ctrl_c

from scratchnet.support import files
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


def test_ctrl_c_at_any_bytecode_leaves_the_old_file_or_the_new_one_and_no_draft(tmp_path):
    file, places = tmp_path / "deep" / "file", 0
    for _ in interruptions(functions_of(files), lambda: write_text(file, "new"), press_ctrl_c):
        places += 1
        assert [(entry.name, entry.read_text()) for entry in file.parent.glob("*")] in ([], [("file", "old")], [("file", "new")])
        write_text(file, "old")
    assert places > 50


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows ends a process without asking it")
@pytest.mark.parametrize("number", [signal.SIGTERM, getattr(signal, "SIGHUP", None)])
def test_a_signal_that_ends_the_process_waits_until_the_file_is_written(number, tmp_path):
    code = f"""if True:
        import signal
        from scratchnet.support.files import write_whole
        def write(file):
            file.write(b"all ")
            signal.raise_signal({int(number)})
            file.write(b"of it")
        write_whole({str(tmp_path / "file")!r}, write)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (-number, "")
    assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == [("file", "all of it")]


def test_a_folder_is_not_replaced_by_a_file(tmp_path):
    with pytest.raises(IsADirectoryError, match="expected the name of a file, got the folder"):
        write_text(tmp_path, "text")
    assert list(tmp_path.iterdir()) == []
