"""docs/names.md: every name of its tables exists in the library that its column names."""

import re
from operator import attrgetter
from pathlib import Path

import pytest

import scratchnet
from scratchnet import callbacks, layers, losses, optimizers

PAGE = (Path(__file__).parents[1] / "docs" / "names.md").read_text(encoding="utf-8")
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("| `")]
NAME = re.compile(r"`([A-Za-z_.]*?)([A-Za-z_]\w*)(?:\([^`]*\))?`")


def classes(column):
    """The names of classes in a column: those that begin with a capital letter."""
    found = [match.groups() for row in ROWS for match in NAME.finditer(row[column])]
    return sorted({(prefix.strip("."), name) for prefix, name in found if name[0].isupper()})


@pytest.mark.parametrize(("prefix", "name"), classes(2))
def test_a_class_of_the_table_exists_here(prefix, name):
    homes = [scratchnet, layers, losses, optimizers, callbacks, getattr(optimizers, "schedules", None), scratchnet.regularizers]
    assert any(name in vars(home) for home in homes if home is not None), name


@pytest.mark.parametrize(("prefix", "name"), classes(0))
def test_a_class_of_the_table_exists_in_keras(prefix, name):
    keras = pytest.importorskip("keras", reason="Keras is not installed: pip install keras tensorflow")
    rooms = ["layers", "losses", "optimizers", "optimizers.schedules", "callbacks", "regularizers"]
    homes = [keras, *(attrgetter(room)(keras) for room in rooms)]
    assert any(hasattr(home, name) for home in homes), name


@pytest.mark.parametrize(("prefix", "name"), [pair for pair in classes(1) if "torchvision" not in pair[0]])
def test_a_class_of_the_table_exists_in_pytorch(prefix, name):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
    homes = [torch.nn, torch.optim, torch.optim.lr_scheduler]
    assert any(hasattr(home, name) for home in homes), name
