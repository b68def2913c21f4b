"""Files appear complete or not at all."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from forced import functions_of, interruptions, press_ctrl_c

from scratchnet.support import files
from scratchnet.support.files import sweep, write_text, write_whole


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


# -- what a killed process leaves ------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from scratchnet.support.files import write_whole

def half(file):
    file.write(b"half")
    file.flush()
    print(flush=True)
    if sys.argv[2] == "live":
        input()
    else:
        os.kill(os.getpid(), signal.SIGKILL)

write_whole(sys.argv[1], half)
"""


def started(file, what):
    """Start a process that writes half of a file, and return it when it has."""
    command = [sys.executable, "-c", KILLED, str(file), what]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdout.readline()
    return process


needs_kill = pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL, and locks of POSIX")


@needs_kill
def test_the_next_write_removes_what_a_killed_process_left_and_nothing_that_a_live_one_writes(tmp_path):
    file = tmp_path / "file"
    with started(file, "killed") as killed:
        killed.wait()
    (left,) = tmp_path.iterdir()
    with started(file, "live") as live:
        assert not left.exists()
        (part,) = tmp_path.iterdir()
        write_text(file, "ours")
        assert set(tmp_path.iterdir()) == {file, part}
        live.communicate(b"\n")
    assert live.returncode == 0
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [("file", b"half")]


@pytest.mark.parametrize("name", ["file.abcdefgh.part", ".file.abcdefgh.par", ".other.abcdefgh.part", ".file.x.part", ".file.part"])
def test_a_sweep_leaves_every_file_of_another_name(name, tmp_path):
    (tmp_path / name).write_text("mine")
    (tmp_path / ".file.abcdefgh.part").write_text("left")
    sweep(tmp_path, ["file"])
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_a_sweep_stops_at_nothing_that_it_cannot_remove(tmp_path):
    (tmp_path / ".file.abcdefgh.part").mkdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / ".file.pipe0000.part")     # opening a pipe must not wait for a writer
    sweep(tmp_path, ["file"])
    sweep(tmp_path / "nothing", ["file"])
    assert (tmp_path / ".file.abcdefgh.part").is_dir()


@pytest.mark.skipif(sys.platform == "win32", reason="needs locks of POSIX")
def test_a_temporary_file_that_a_sweep_has_locked_is_not_used(tmp_path, monkeypatch):
    """Another process sweeps between the creation of the file and its lock: it has the lock, and then removes the file."""
    mkstemp, handles = tempfile.mkstemp, []

    def swept(**options):
        handle, name = mkstemp(**options)
        if not handles:
            handles.append(os.open(name, os.O_RDONLY))
            files.lock(handles[0])
        return handle, name

    monkeypatch.setattr(tempfile, "mkstemp", swept)
    write_text(tmp_path / "file", "text")
    os.close(handles[0])
    assert (tmp_path / "file").read_text() == "text"
    write_text(tmp_path / "file", "next")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_folders_as_deep_as_a_path_permits_are_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files.make_folders(Path("a/" * 1900))
    assert Path("a/" * 1900).is_dir()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OSError, match="file"):
        files.make_folders(tmp_path / "file" / "folder")
    with pytest.raises(FileExistsError):
        files.make_folders(tmp_path / "file")
    subprocess.run(["rm", "-r", str(tmp_path / "a")])       # shutil.rmtree, which pytest uses, is recursive


def test_an_error_names_the_file_and_not_its_temporary_name(tmp_path, monkeypatch):
    def refuse(*args):
        raise PermissionError(13, "Permission denied", *map(str, args))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(PermissionError) as caught:
        write_text(tmp_path / "file", "text")
    assert (caught.value.filename, caught.value.filename2) == (str(tmp_path / "file"), None)


def test_an_error_of_a_full_disk_names_the_file(tmp_path):
    def full(file):
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space") as caught:
        write_whole(tmp_path / "file", full)
    assert caught.value.filename == str(tmp_path / "file")
