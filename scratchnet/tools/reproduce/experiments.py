"""The list of experiments: the net, the data and the number of epochs of each. Everything else is derived from it.

    study           the six of the study: net_1 and net_2, MNIST and CIFAR-10, Adam; net_2 on CIFAR-10 with two others
    pooling         the study changes pooling and stride at once; here each is changed alone
    rates           each optimizer at several learning rates
    overfitting     where it begins on CIFAR-10: computed from the study's histories, without any training
    preprocessing   / 255 against standardization, one-hot against integer labels
    order           images shuffled once against images shuffled for every epoch
    net_3           net_3 with its whole recipe, on all of CIFAR-10
    parts           net_3 in a small form, whole and without each of its parts, on a split of the training images

The first epochs of a long run are the same as a short run, because fit does not look ahead. So a group that needs one of the
study's experiments for fewer epochs contains the study's own, and reads only its first epochs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from scratchnet import networks
from scratchnet.layers import Conv2D, Dense, Flatten, Input
from scratchnet.layers.pooling import POOLS
from scratchnet.model import Model
from scratchnet.tools.recipes import NET_3, Recipe
from scratchnet.tools.reproduce.net_3 import HELD_OUT, PARTS, SMALL, SMALL_NET, Net3

SHAPES = {"mnist": (28, 28, 1), "glyphs": (28, 28, 1), "cifar10": (32, 32, 3), "shapes": (32, 32, 3)}
IMAGES = {"mnist": (60_000, 10_000), "glyphs": (12_000, 2_000), "cifar10": (50_000, 10_000), "shapes": (12_000, 2_000)}


@dataclass(frozen=True)
class Net:
    """The study's network, with any stride of the second convolution and any pooling.

    Attributes
    ----------
    stride : int
        Of the second convolution.
    pool : {"none", "max", "average", "min"}
        The kind of the pooling (2×2, same) after it.
    pool_stride : int
        1 is the study's, which keeps the size; 2 halves it.

    Examples
    --------
    >>> Net(1, "max").name, Net(2).name, Net(1, "average", 2).name
    ('net_1', 'net_2', 'stride1-average-halving')
    """

    stride: int = 1
    pool: str = "none"
    pool_stride: int = 1

    @property
    def name(self) -> str:
        """The study's name if it has one."""
        known = {Net(1, "max"): "net_1", Net(2): "net_2"}
        return known.get(self) or f"stride{self.stride}-{self.pool}" + "-halving" * (self.pool_stride == 2)

    def build(self, sample_shape: tuple[int, ...], K: int, seed: int) -> Model:
        """Return the network; the study's two are those of `scratchnet.networks`."""
        if self.name in ("net_1", "net_2"):
            return getattr(networks, self.name)(sample_shape, K, seed=seed)
        return self.assemble(sample_shape, K, seed)

    def assemble(self, sample_shape: tuple[int, ...], K: int, seed: int) -> Model:
        """Return the network made from its stride and its pooling."""
        input_x = Input(shape=sample_shape)
        x = Conv2D(32, (3, 3), activation="relu", strides=1, padding="same")(input_x)
        x = Conv2D(64, (3, 3), activation="relu", strides=self.stride, padding="same")(x)
        if self.pool != "none":
            x = POOLS[self.pool](pool_size=(2, 2), strides=self.pool_stride, padding="same")(x)
        x = Dense(128, activation="relu")(Flatten()(x))
        return Model(input_x, Dense(K, activation="softmax")(x), seed=seed, name=self.name)


NET_1, NET_2 = Net(1, "max"), Net(2)


@dataclass(frozen=True)
class Experiment:
    """One training run without its seed.

    Attributes
    ----------
    net : Net
    data : str
        A name of `scratchnet.datasets`.
    optimizer : str
    epochs : int
    learning_rate : float or None
        None is the optimizer's default, which the study used.
    batch_size : int
    limit : int or None
        The number of training images to use, and half as many test images; None uses all.
    preprocessing : {"scale", "standardize"}
    labels : {"one-hot", "integers"}
    shuffled : {"every epoch", "once"}
        When the order of the training images is drawn.
    note : str
        The end of the name; it distinguishes experiments whose names would otherwise be equal.

    Examples
    --------
    >>> Experiment(NET_2, "cifar10", "adadelta", 8, learning_rate=1.0).name
    'net_2-cifar10-adadelta-1'
    """

    net: Net
    data: str
    optimizer: str = "adam"
    epochs: int = 16
    learning_rate: float | None = None
    batch_size: int = 128
    limit: int | None = None
    preprocessing: str = "scale"
    labels: str = "one-hot"
    shuffled: str = "every epoch"
    note: str = ""

    @property
    def name(self) -> str:
        """The name of its files, and the one for ``--only``."""
        rate = "" if self.learning_rate is None else f"{self.learning_rate:g}"
        other = "" if self.preprocessing == "scale" else self.preprocessing
        order = "" if self.shuffled == "every epoch" else f"shuffled-{self.shuffled}"
        return "-".join(filter(None, (self.net.name, self.data, self.optimizer, rate, other, order, self.note)))

    def settings(self) -> dict[str, Any]:
        """Return all fields in a form that JSON can store: equal settings and seeds give the same run."""
        return json.loads(json.dumps(asdict(self)))

    def sizes(self) -> tuple[int, int]:
        """Return the numbers of training and of test images."""
        train, test = IMAGES[self.data]
        return (train, test) if self.limit is None else (min(train, self.limit), min(test, -(-self.limit // 2)))


@dataclass(frozen=True)
class Net3Experiment(Experiment):
    """A training run of net_3, whose recipe decides the optimizer, the epochs and the batch: see `of_net_3`.

    Attributes
    ----------
    net : Net3
    recipe : Recipe
    held_out : bool
        Whether the last tenth of the training images is held out, and validation uses these in place of the test images.
    """

    net: Net3  # type: ignore[assignment]
    recipe: Recipe = NET_3
    held_out: bool = False

    def sizes(self) -> tuple[int, int]:
        """Return the numbers of training and of validation images."""
        train, test = super().sizes()
        return (train - train // HELD_OUT, train // HELD_OUT) if self.held_out else (train, test)


def of_net_3(
    net: Net3, data: str, recipe: Recipe, *, held_out: bool = False, limit: int | None = None, note: str = ""
) -> Net3Experiment:
    """Return the training run of net_3 with a recipe.

    Examples
    --------
    >>> of_net_3(Net3(), "cifar10", NET_3).name
    'net_3-cifar10-sgd'
    """
    return Net3Experiment(
        net, data, "sgd", recipe.epochs, batch_size=recipe.batch_size, limit=limit, note=note, recipe=recipe, held_out=held_out
    )


def parts_of_net_3(data: str, net: Net3, recipe: Recipe, limit: int | None = None) -> list[Net3Experiment]:
    """Return the whole net_3 in a small form, and the same without each of its parts.

    Examples
    --------
    >>> [e.note for e in parts_of_net_3("cifar10", SMALL_NET, SMALL)][:3]
    ['small', 'small-without-whitening', 'small-without-identities']
    """
    found = [of_net_3(net, data, recipe, held_out=True, limit=limit, note="small")]
    of_the_net = {part.name for part in fields(net)}
    for part, (_, change) in PARTS.items():
        changes: dict[str, Any] = change
        in_net = changes.keys() <= of_the_net
        changed = (replace(net, **changes), recipe) if in_net else (net, replace(recipe, **changes))
        note = f"small-without-{part.lower().replace(' ', '-')}"
        found.append(of_net_3(changed[0], data, changed[1], held_out=True, limit=limit, note=note))
    return found


@dataclass(frozen=True)
class Plan:
    """All groups, in the full or in the quick form.

    Attributes
    ----------
    quick : bool
    groups : dict of str to list of Experiment
        An experiment may be in several.
    one_seed : frozenset of str
        Names of those that are trained with the first seed only.
    short : dict of str to int
        How many epochs a group uses, if fewer than the study's.
    """

    quick: bool
    groups: dict[str, list[Experiment]]
    one_seed: frozenset[str]
    short: dict[str, int] = field(default_factory=dict)

    @property
    def digits(self) -> str:
        """The data set in the role of MNIST."""
        return self.groups["study"][0].data

    @property
    def photographs(self) -> str:
        """The data set in the role of CIFAR-10."""
        return self.groups["study"][2].data

    @property
    def experiments(self) -> dict[str, Experiment]:
        """All experiments by name, in order, each once."""
        return {e.name: e for group in self.groups.values() for e in group}

    def select(self, names: Sequence[str] | None) -> dict[str, Experiment]:
        """Return the experiments of some groups, or with some names, in this plan's order, or all if `names` is empty.

        Raises
        ------
        ValueError
            For a name that is neither; it lists the known ones.
        """
        known = self.experiments
        unknown = [name for name in names or () if name not in known and name not in (*self.groups, *EXTRAS)]
        if unknown:
            raise ValueError(
                f"--only: expected names of groups or experiments, got {', '.join(map(repr, unknown))}. Groups: "
                f"{', '.join(self.groups)}; {' and '.join(EXTRAS)}, which train nothing; experiments: {', '.join(known)}"
            )
        if not names:
            return known
        wanted = {e.name for group in names for e in self.groups.get(group, ())} | set(names)
        return {name: e for name, e in known.items() if name in wanted}


EXTRAS = ("ledger", "report")  # names for --only that are not experiments

# The study's second convolution has stride 1 or 2, and its pooling keeps the size. All eight pairs of a stride and a pooling
# separate the two causes. Pooling that halves the size, the usual kind, gives as many parameters as net_2 in another way;
# of this kind, only max-pooling is tried, because the eight pairs compare max, average and min.
CELLS = [Net(stride, pool) for stride in (1, 2) for pool in ("none", "max", "average", "min")]
HALVING = [Net(1, "max", 2)]

RATES = {  # besides the default, 0.001, which the study used
    "adam": (0.0001, 0.0003, 0.003),
    "adagrad": (0.01, 0.03, 0.1),
    "adadelta": (0.1, 0.3, 1.0),  # the last is the paper's
}
SHORT = {"pooling": 6, "rates": 8, "preprocessing": 6, "order": 8}
LABELS = {"one-hot-labels": "one-hot", "integer-labels": "integers"}


def plan(quick: bool = False) -> Plan:
    """Return the full plan, or the quick one: the same experiments on few images that need no download, one or two epochs each.

    Examples
    --------
    >>> [e.name for e in plan().groups["study"]][:3]
    ['net_1-mnist-adam', 'net_2-mnist-adam', 'net_1-cifar10-adam']
    >>> plan(quick=True).digits
    'glyphs'
    """
    both = digits, photographs = ("glyphs", "shapes") if quick else ("mnist", "cifar10")
    nets = (NET_1, NET_2)
    study = [Experiment(net, data) for data in both for net in nets]
    study += [Experiment(NET_2, photographs, optimizer) for optimizer in ("adadelta", "adagrad")]
    groups = {
        "study": study,
        "pooling": [Experiment(net, digits) for net in (*CELLS, *HALVING)],
        "rates": [Experiment(NET_2, photographs, o, learning_rate=rate) for o, others in RATES.items() for rate in (None, *others)],
        "overfitting": [e for e in study if e.net == NET_1 or e.optimizer == "adam"],
        "preprocessing": [Experiment(NET_2, data, preprocessing=kind) for kind in ("scale", "standardize") for data in both]
        + [Experiment(NET_2, data, labels=kind, note=note) for data in both for note, kind in LABELS.items()],
        "order": [Experiment(net, photographs, shuffled=when) for when in ("every epoch", "once") for net in nets],
    }
    studied = {e.name for e in study}

    def shortened(group: str, e: Experiment) -> Experiment:
        epochs = e.epochs if e.name in studied else 1 if e.note else SHORT[group]
        return replace(e, epochs=min(2, epochs), limit=640) if quick else replace(e, epochs=epochs)

    groups = {name: [shortened(name, e) for e in group] for name, group in groups.items()}
    groups |= net_3_groups(photographs, quick)
    one_seed = {e.name for e in groups["rates"] + groups["preprocessing"] if e.learning_rate is not None or e.note}
    return Plan(quick, groups, frozenset(one_seed), dict.fromkeys(SHORT, 2) if quick else SHORT)


def net_3_groups(data: str, quick: bool) -> dict[str, list[Experiment]]:
    """Return the groups of net_3; the quick form has a tiny net and small batches."""
    if quick:
        net, limit = Net3(filters=(16, 16, 16)), 640
        recipe = replace(NET_3, batch_size=128, epochs=2, learning_rate=NET_3.learning_rate * 0.128, whitening_images=64)
        return {
            "net_3": [of_net_3(net, data, recipe, limit=limit)],
            "parts": [*parts_of_net_3(data, net, replace(recipe, epochs=1), limit)],
        }
    return {"net_3": [of_net_3(Net3(), data, NET_3)], "parts": [*parts_of_net_3(data, SMALL_NET, SMALL)]}
