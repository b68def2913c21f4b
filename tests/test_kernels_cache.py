"""Compiled kernels on disk: nothing damaged is read, nothing that another user can write is trusted, and training goes on."""

import errno
import io
import json
import os
import pickle
import random
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numba.core import event

from scratchnet.kernels import cache
from scratchnet.kernels.jit import jit
from scratchnet.tools import doctor

pytestmark = pytest.mark.compiled
posix = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="owners and permissions of POSIX")


def double(x):
    total = 0.0
    for value in x:
        total += 2 * value
    return total


def triple(x):
    total = 0.0
    for value in x:
        total += 3 * value
    return total


def new_process(monkeypatch):
    """Forget what this process knows of the cache."""
    monkeypatch.setattr(cache, "_said", set())
    monkeypatch.setattr(cache, "_unstored", "")
    cache.why_not_used.cache_clear()
    cache.why_not_stored.cache_clear()


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """A folder for compiled kernels that does not exist yet."""
    folder = tmp_path / "above" / "base" / "hash"
    monkeypatch.setattr(cache, "FOLDER", folder)
    new_process(monkeypatch)
    yield folder
    monkeypatch.undo()
    new_process(monkeypatch)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """A folder with both kernels."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(cache, "FOLDER", tmp_path_factory.mktemp("compiled") / "base" / "hash")
        for function in (double, triple):
            run(function, monkeypatch)
        folder = cache.FOLDER
    return folder


@pytest.fixture
def filled(kept, compiled):
    """A folder with both kernels, for one test."""
    for folder in (kept.parent.parent, kept.parent):
        folder.mkdir(mode=0o700)
    return shutil.copytree(compiled, kept)


def run(function, monkeypatch):
    """Run a kernel as a new process would: return whether it was read from the cache. Its result must be right."""
    new_process(monkeypatch)
    kernel = jit(function)
    assert kernel(np.ones(4)) == {double: 8, triple: 12}[function]
    return bool(kernel.stats.cache_hits)


def files(folder):
    return sorted(folder.glob("*.nbc"))


def test_a_kernel_is_compiled_once_and_read_afterwards_without_a_word(kept, monkeypatch, capfd):
    assert not run(double, monkeypatch)
    assert f"once for this processor (kept in {kept})" in capfd.readouterr().err
    assert run(double, monkeypatch)
    assert capfd.readouterr().err == ""
    assert [path.suffix for path in kept.iterdir()] == [".nbc"]


@posix
def test_only_you_can_read_or_write_what_is_stored_whatever_the_umask(kept, monkeypatch):
    before = os.umask(0)
    try:
        run(double, monkeypatch)
    finally:
        os.umask(before)
    assert stat.S_IMODE(kept.stat().st_mode) == stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    assert [stat.S_IMODE(path.stat().st_mode) for path in kept.iterdir()] == [0o600]
    assert run(double, monkeypatch)


# -- damage -----------------------------------------------------------------------------------------------------------


def flip(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 1 << (at % 8)
    path.write_bytes(content)


def replace_by(make):
    def damage(path):
        path.unlink()
        make(path)

    return damage


def full_folder(path):
    (path / "inner").mkdir(parents=True)
    (path / "inner" / "file").write_text("x")


DAMAGE = {
    "emptied": lambda path: path.write_bytes(b""),
    "cut to a half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "without its last byte": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "one byte longer": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "first bit flipped": lambda path: flip(path, 0),
    "middle bit flipped": lambda path: flip(path, path.stat().st_size // 2),
    "last bit flipped": lambda path: flip(path, path.stat().st_size - 1),
    "zeros of the same size": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "a text": lambda path: path.write_text("<html>"),
    "a folder": replace_by(full_folder),
    "a link to nothing": replace_by(lambda path: path.symlink_to("nowhere")),
    "a link to a folder": replace_by(lambda path: path.symlink_to("/")),
    "a link to an endless file": replace_by(lambda path: path.symlink_to("/dev/zero")),
    "a pipe": replace_by(getattr(os, "mkfifo", full_folder)),
    "a file that is not readable": lambda path: path.chmod(0),
    "a file that others can write": lambda path: path.chmod(0o666),
}


@posix
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_compiled_again_and_replaced_and_one_line_says_so(damage, filled, monkeypatch, capfd):
    good, _ = files(filled)
    DAMAGE[damage](good)
    if damage == "a file that is not readable" and os.access(good, os.R_OK):
        pytest.skip("this user reads every file")
    capfd.readouterr()
    count, damaged = cache.stored()
    assert (count, [line.split(":")[0] for line in damaged]) == (2, [good.name])
    assert not run(double, monkeypatch)
    said = capfd.readouterr().err
    assert said.count("damaged and are compiled again") == 1
    assert str(good) in said
    assert run(double, monkeypatch)
    assert run(triple, monkeypatch)
    assert cache.stored() == (2, [])
    assert capfd.readouterr().err == ""


@posix
def test_a_file_that_others_can_write_and_one_of_another_user_have_different_reasons(filled, monkeypatch):
    good, _ = files(filled)
    good.chmod(0o666)
    assert cache.why_damaged(good) == "others can write to it"
    monkeypatch.setattr(os, "geteuid", lambda: good.stat().st_uid + 1)
    assert cache.why_damaged(good) == "it belongs to another user"


def test_a_file_under_the_name_of_another_kernel_or_of_other_sources_is_not_read(filled, monkeypatch):
    first, second = files(filled)
    shutil.copyfile(second, first)
    assert not run(double, monkeypatch)
    older = filled.parent / "older"
    filled.rename(older)
    shutil.copytree(older, filled)
    assert run(double, monkeypatch)         # a copy of the same name
    monkeypatch.setattr(cache, "FOLDER", older)
    assert not run(double, monkeypatch)


def test_what_numba_cannot_read_though_its_checksum_is_right_is_compiled_again(filled, monkeypatch, capfd):
    path, _ = files(filled)
    for content in (b"no pickle", pickle.dumps(tuple(range(12)))):
        path.write_bytes(content + cache._checksum(path, content))
        assert not run(double, monkeypatch)
        assert "damaged" in capfd.readouterr().err
        assert run(double, monkeypatch)


def test_the_doctor_counts_damaged_kernels_and_gives_a_hint(filled, monkeypatch, capfd):
    found = doctor.folders()
    assert found["compiled kernels"] == f"{filled} (2)"
    assert "damaged kernels" not in found
    path = files(filled)[0]
    path.write_bytes(b"")
    found = doctor.folders()
    assert found["damaged kernels"] == f"1 of 2, the first {path.name}: its checksum is wrong"


# -- nothing can be written -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EIO])
def test_when_a_write_fails_training_goes_on_without_storing_and_one_line_says_so(number, kept, monkeypatch, capfd):
    attempts = []

    def fails(path, write):
        attempts.append(path)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(cache, "write_whole", fails)
    new_process(monkeypatch)
    for function in (double, triple):
        assert jit(function)(np.ones(1)) in (2, 3)
    said = capfd.readouterr().err
    assert said.count("cannot be stored") == 1
    assert os.strerror(number) in said
    assert str(kept) in said
    assert len(attempts) == 1


def test_kernels_are_read_from_a_folder_that_cannot_be_written(filled, monkeypatch, capfd):

    def fails(**words):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(cache.tempfile, "TemporaryFile", fails)
    capfd.readouterr()
    assert run(double, monkeypatch)
    assert capfd.readouterr().err == ""
    files(filled)[1].unlink()
    assert not run(triple, monkeypatch)
    assert f"in every process ({filled}: Read-only file system)" in capfd.readouterr().err
    assert len(files(filled)) == 1
    assert "not stored" in doctor.folders()["compiled kernels"]


def test_a_disk_without_space_for_a_kernel_is_noticed_before_anything_is_compiled(kept, monkeypatch, capfd):
    class Full(io.BytesIO):
        def flush(self):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(cache.tempfile, "TemporaryFile", lambda dir: Full())
    assert "No space left" in doctor.folders()["compiled kernels"]
    assert not run(double, monkeypatch)
    said = capfd.readouterr().err
    assert "in every process" in said
    assert said.count("\n") == 1


def test_a_closed_or_full_stderr_stops_no_compilation(kept, monkeypatch):
    class Full:
        def write(self, text):
            raise OSError(errno.ENOSPC, "full")

    for stream in (None, Full()):
        monkeypatch.setattr(sys, "stderr", stream)
        run(double, monkeypatch)


def test_a_folder_that_vanishes_is_made_again(kept, monkeypatch):
    run(double, monkeypatch)
    shutil.rmtree(kept.parent)
    assert jit(triple)(np.ones(1)) == 3     # this process has looked at the folder already
    assert run(triple, monkeypatch)


def test_unfinished_files_of_killed_processes_are_removed_after_an_hour(kept, monkeypatch):
    run(double, monkeypatch)
    old, young = kept / ".a.nbc.1.part", kept / ".b.nbc.2.part"
    for path, age in ((old, 2 * cache.ABANDONED), (young, 0)):
        path.write_bytes(b"half")
        os.utime(path, (path.stat().st_atime - age, path.stat().st_mtime - age))
    run(triple, monkeypatch)
    assert (old.exists(), young.exists()) == (False, True)


# -- trust ------------------------------------------------------------------------------------------------------------


class Planted:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def plant(kept, marker):
    """Replace all stored kernels with a pickle that makes a folder, under a right checksum."""
    content = pickle.dumps(Planted(marker))
    for path in files(kept):
        path.write_bytes(content + cache._checksum(path, content))


def test_a_planted_pickle_would_run_where_only_you_can_write(filled, monkeypatch, tmp_path):
    plant(filled, tmp_path / "marker")
    run(double, monkeypatch)
    assert (tmp_path / "marker").exists()       # else the tests below would show nothing


@posix
@pytest.mark.parametrize("place", [0, 1, 2], ids=["folder", "base", "above"])
def test_a_folder_that_others_can_write_to_is_never_used_nor_one_below_it(place, filled, monkeypatch, tmp_path, capfd):
    monkeypatch.setattr(cache, "_is_private", lambda group: False)
    plant(filled, tmp_path / "marker")
    before, shared = files(filled)[0].read_bytes(), (filled, *filled.parents)[place]
    shared.chmod(0o775)
    assert not run(double, monkeypatch)
    assert not (tmp_path / "marker").exists()
    assert files(filled)[0].read_bytes() == before
    assert f"in every process (others can write to {shared}; chmod go-w {shared})" in capfd.readouterr().err
    found = doctor.folders()
    assert found["compiled kernels"].startswith(f"not stored (others can write to {shared}")
    facts = {"folders": found, "numba": {"compiles": "yes", "threads": "1"}, "processor": {"cores": "1", "AVX-512": "no"}}
    (hint,) = doctor.hints(facts | {"BLAS": {"runs as": "x"}}, {})
    assert f"chmod go-w {shared}" in hint
    for mode in (0o777, 0o772, 0o757, 0o720, 0o702):
        shared.chmod(mode)
        assert "chmod go-w" in cache.why_not_trusted(filled)
    shared.chmod(0o755)
    assert cache.why_not_trusted(filled) == ""


@posix
def test_above_the_folder_the_sticky_bit_is_enough_and_in_it_it_is_not(filled):
    filled.parent.parent.chmod(0o1777)
    assert cache.why_not_trusted(filled) == ""
    for shared in (filled.parent, filled):
        shared.chmod(0o1777)
        assert cache.why_not_trusted(filled) == f"others can write to {shared}; set NUMBA_CACHE_DIR to a folder of your own"
        shared.chmod(0o700)


@posix
def test_a_group_of_one_user_may_write_above_the_folder_and_not_in_it(filled, monkeypatch):
    monkeypatch.setattr(cache, "_is_private", lambda group: True)
    filled.parent.parent.chmod(0o775)
    assert cache.why_not_trusted(filled) == ""
    filled.parent.parent.chmod(0o777)
    assert "others can write" in cache.why_not_trusted(filled)
    filled.parent.parent.chmod(0o700)
    filled.parent.chmod(0o775)
    assert "others can write" in cache.why_not_trusted(filled)


@posix
@pytest.mark.parametrize(
    ("user", "group", "private"),
    [
        ((1000, 1000, "ann"), (1000, "ann", []), True),
        ((1000, 1000, "ann"), (1000, "ann", ["ann"]), True),
        ((1000, 1000, "ann"), (1000, "ann", ["bob"]), False),
        ((1000, 100, "ann"), (100, "users", []), False),
        ((1000, 1000, "ann"), (1001, "ann", []), False),
        ((0, 0, "root"), (0, "root", []), False),
    ],
)
def test_a_private_group_has_the_name_of_its_only_user(user, group, private, monkeypatch):
    import grp
    import pwd

    monkeypatch.setattr(pwd, "getpwuid", lambda uid: pwd.struct_passwd((user[2], "x", user[0], user[1], "", "/", "/bin/sh")))
    monkeypatch.setattr(grp, "getgrgid", lambda gid: grp.struct_group((group[1], "x", group[0], group[2])))
    assert cache._is_private(group[0]) == private
    assert not cache._is_private(4711) or user[1] == 4711


@posix
def test_a_folder_of_another_user_is_never_used(filled, monkeypatch, tmp_path, capfd):
    plant(filled, tmp_path / "marker")
    monkeypatch.setattr(os, "geteuid", lambda: filled.stat().st_uid + 1)
    assert not run(double, monkeypatch)
    assert not (tmp_path / "marker").exists()
    assert f"in every process ({filled} belongs to another user; set NUMBA_CACHE_DIR" in capfd.readouterr().err


@posix
def test_the_administrator_may_own_the_folders_above_and_no_other_user(filled, monkeypatch):
    owners, ask = {}, os.stat

    def owned(path, **options):
        found = ask(path, **options)
        return os.stat_result((*found[:4], owners.get(Path(path), os.geteuid()), *found[5:10]))

    monkeypatch.setattr(os, "stat", owned)
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    above = filled.parent.parent
    for place, owner, reason in [
        (above, 4711, ""), (above, 0, ""), (above, 4712, f"{above} belongs to another user"),
        (filled.parent, 0, f"{filled.parent} belongs to another user"), (filled, 0, f"{filled} belongs to another user"),
    ]:  # fmt: skip
        owners.clear()
        owners[place] = owner
        assert cache.why_not_trusted(filled).partition(";")[0] == reason


@posix
def test_a_folder_that_another_user_makes_at_the_last_moment_is_not_used(kept, monkeypatch):
    make = cache.make_folders

    def made_by_another(*arguments):
        make(*arguments)
        kept.chmod(0o777)

    monkeypatch.setattr(cache, "make_folders", made_by_another)
    assert not run(double, monkeypatch)
    assert files(kept) == []


def test_a_listener_after_ours_hears_of_the_first_kernel_that_is_compiled(kept, monkeypatch):
    heard = []

    class Later(event.Listener):
        def on_start(self, started):
            heard.append(started.data["dispatcher"])

        def on_end(self, ended):
            pass

    later = Later()
    event.register("numba:compile", later)
    try:
        new_process(monkeypatch)
        kernel = jit(double)
        kernel(np.ones(1))
    finally:
        event.unregister("numba:compile", later)
    assert heard == [kernel]


# -- whole processes --------------------------------------------------------------------------------------------------

STEP = """
import json
import numpy as np
from scratchnet import Dense, Input, Sequential
layers = [Input((6,)), Dense(4, activation="relu"), Dense(3, activation="softmax")]
model = Sequential(layers, seed=1, implementation="{implementation}")
model.compile("{optimizer}")
x, y = np.random.default_rng(0).random((8, 6), np.float32), np.eye(3)[np.arange(8) % 3]
losses = [model.train_on_batch(x, y) for _ in range(3)]
print(json.dumps([losses, [w.tobytes().hex() for w in model.get_weights()]]))
"""


def step(optimizer="adam", implementation="fused"):
    return STEP.format(optimizer=optimizer, implementation=implementation)


FEW = step("sgd", "im2col")     # few kernels, for the quick suite


def train(base, code):
    """Return the losses and weights of a small training in its own process, and what it said."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE_")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False,
        env=environment | {"NUMBA_CACHE_DIR": str(base)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


LIMITED = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
"""


@posix
def test_training_goes_on_with_the_same_bits_when_files_are_emptied_and_the_disk_is_full(tmp_path):
    right, said = train(tmp_path, FEW)
    assert said.count("\n") == 1
    paths = sorted(tmp_path.rglob("*.nbc"))
    for path in paths:
        path.write_bytes(b"")
    result, said = train(tmp_path, LIMITED + FEW)
    assert result == right
    assert said.count("damaged") == said.count("File too large") == 1
    assert said.count("\n") == 2
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == paths     # and no half-written one


def damaged_at_random(base, rng):
    """Damage a random part of the files, each in a random way."""
    paths = sorted(base.rglob("*.nbc"))
    for path in rng.sample(paths, rng.randint(1, len(paths))):
        kind = rng.choice(["flip", "cut", "empty", "folder", "grow", "swap"])
        content = bytearray(path.read_bytes())
        if kind == "flip":
            for _ in range(rng.randint(1, 20)):
                content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.unlink()
        if kind == "folder":
            full_folder(path)
        elif kind == "swap":
            others = [other for other in paths if other.is_file()]
            path.write_bytes(rng.choice(others).read_bytes() if others else b"")
        else:
            path.write_bytes({"cut": content[: len(content) // 3], "empty": b"", "grow": content * 2}.get(kind, content))


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    """A folder with the kernels of a training with all fused layers, and its result."""
    base = tmp_path_factory.mktemp("warm")
    return base, train(base, step())[0]


@pytest.mark.slow
def test_forty_randomly_damaged_caches_train_to_the_same_bits_and_are_whole_afterwards(warm, tmp_path):
    for trial in range(40):
        base = shutil.copytree(warm[0], tmp_path / str(trial))
        damaged_at_random(base, random.Random(trial))
        result, said = train(base, step())
        assert result == warm[1], trial
        assert said.count("\n") in (0, 2), said     # 0: only kernels that others contain, which are not read
        print(trial, said.count("\n"))
        assert train(base, step()) == (warm[1], ""), trial
        shutil.rmtree(base)


@pytest.mark.slow
def test_processes_killed_while_they_write_leave_a_cache_that_works(warm, tmp_path):
    rng, environment = random.Random(0), {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    for _ in range(12):
        together = [subprocess.Popen([sys.executable, "-c", step()], env=environment, **silent) for _ in range(3)]
        for process in together:
            try:
                process.wait(rng.uniform(0.5, 6))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    assert train(tmp_path, step())[0] == warm[1]
    assert train(tmp_path, step()) == (warm[1], "")
