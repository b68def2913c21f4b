"""Weights from and to PyTorch: stored networks of PyTorch, the order after Flatten, and state dicts that do not fit."""

import re
import runpy
import warnings
from pathlib import Path

import numpy as np
import pytest
from paired_nets import SHAPES, images, nchw, ours, torchs

from scratchnet import (
    Activation,
    Add,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    Input,
    Layer,
    Model,
    Reshape,
    Sequential,
    net_1,
    net_2,
)
from scratchnet.exchange import load_safetensors
from scratchnet.networks import net_3

STORED = np.load(Path(__file__).with_name("torch_vectors.npz"))
NEEDS_TORCH = "PyTorch is not installed: pip install torch"


def stored(name):
    """The state dict, the images (N, C, H, W) and the outputs of a network of PyTorch."""
    prefix = f"{name} state "
    state = {key.removeprefix(prefix): STORED[key] for key in STORED.files if key.startswith(prefix)}
    return state, STORED[f"{name} x"], STORED[f"{name} out"]


def refused(kind, call, *words):
    """Assert that the call raises an error of this kind, whose message has all of these words."""
    with pytest.raises(kind) as caught:
        call()
    for word in words:
        assert word in str(caught.value)


def logits(model, x):
    """What the model computes before softmax, in inference, from images (N, C, H, W)."""
    return model.forward(np.ascontiguousarray(np.moveaxis(x, 1, -1)).astype(model.dtype), to=model.logits)


# -- networks of PyTorch ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", SHAPES)
def test_weights_from_pytorch_give_the_outputs_of_pytorch(name, dtype):
    state, x, out = stored(name)
    model = ours(name, dtype)
    model.from_torch_state_dict(state)
    np.testing.assert_allclose(logits(model, x), out, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", SHAPES)
def test_weights_to_pytorch_are_the_state_dict_with_which_it_computed_these_outputs(name):
    state, _, _ = stored(name)
    model = ours(name)
    model.from_torch_state_dict(state)
    back = model.to_torch_state_dict(like=state)
    assert [(key, array.dtype, array.shape) for key, array in back.items()] == [(k, a.dtype, a.shape) for k, a in state.items()]
    for key, array in back.items():
        np.testing.assert_array_equal(array, state[key], err_msg=key)
        assert array.flags.c_contiguous
        assert array.flags.owndata


def with_state(net, state):
    import torch

    net.load_state_dict({key: torch.from_numpy(array) for key, array in state.items()})
    return net


@pytest.mark.parametrize("name", SHAPES)
def test_a_network_of_pytorch_with_our_weights_computes_our_outputs(name):
    torch = pytest.importorskip("torch", reason=NEEDS_TORCH)
    model, x = ours(name, seed=3), nchw(images(name))
    net = torchs(name, seed=4)
    with_state(net, model.to_torch_state_dict(net.state_dict()))
    with torch.no_grad():
        np.testing.assert_allclose(net(torch.from_numpy(x)).numpy(), logits(model, x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", SHAPES)
def test_the_stored_networks_are_those_that_pytorch_makes_now(name):
    torch = pytest.importorskip("torch", reason=NEEDS_TORCH)
    state, x, out = stored(name)
    with torch.no_grad():
        np.testing.assert_allclose(with_state(torchs(name, seed=9), state)(torch.from_numpy(x)).numpy(), out, atol=1e-6, rtol=1e-5)
    np.testing.assert_array_equal(x, nchw(images(name)))


# -- the order of the numbers after Flatten ----------------------------------------------------------------------------


def moved(model, rng):
    """Random weights of PyTorch for the model, in which every number is different; and the model, which has them."""
    state = {key: rng.standard_normal(array.shape) for key, array in model.to_torch_state_dict().items()}
    model.from_torch_state_dict(state)
    return state


def test_the_rows_of_a_dense_kernel_after_flatten_are_in_pytorch_s_order_of_channels_first():
    model = Sequential([Input(shape=(2, 3, 4)), Flatten(), Dense(2)], dtype="float64")
    state = moved(model, np.random.default_rng(0))
    x = np.random.default_rng(1).standard_normal((5, 4, 2, 3))
    np.testing.assert_allclose(logits(model, x), x.reshape(5, -1) @ state["dense.weight"].T + state["dense.bias"], rtol=1e-12)


def test_a_second_dense_layer_keeps_its_order():
    model = Sequential([Input(shape=(2, 3, 4)), Flatten(), Dense(6), Dense(2)], dtype="float64")
    state = moved(model, np.random.default_rng(0))
    np.testing.assert_array_equal(model.get_weights()[2].T, state["dense_1.weight"])


@pytest.mark.parametrize("branch", ["added", "concatenated", "after a reshape", "of one pixel", "pooled"])
def test_the_order_goes_through_graphs(branch):
    rng = np.random.default_rng(5)
    image = Input(shape=(1, 1, 3) if branch == "of one pixel" else (2, 3, 4))
    x = rng.standard_normal((5, *(image.shape[2], *image.shape[:2])))          # (N, C, H, W)
    rows = x.reshape(5, -1)
    if branch == "added":
        flat = Add()([Dropout(0.5)(Flatten()(image)), Activation("relu")(Flatten()(image))])
        expected = rows + np.maximum(rows, 0)
    elif branch == "concatenated":
        flat = Concatenate()([GlobalAveragePooling2D()(image), Flatten()(image), Flatten()(image)])
        expected = np.concatenate([x.mean((2, 3)), rows, rows], axis=1)
    elif branch == "after a reshape":
        flat = Flatten()(Reshape((24,))(Reshape((-1,))(image)))
        expected = rows
    elif branch == "of one pixel":
        flat, expected = Flatten()(image), rows
    else:
        flat, expected = GlobalAveragePooling2D()(image), x.mean((2, 3))
    model = Model(image, Dense(2)(flat), dtype="float64")
    state = moved(model, rng)
    np.testing.assert_allclose(logits(model, x), expected @ state["dense.weight"].T + state["dense.bias"], rtol=1e-12)


class Twice(Layer):
    def forward(self, x):
        return 2 * x


class Scale(Twice):
    def make_params(self, rng):
        return {"factor": np.ones(1)}


def test_an_order_that_cannot_be_known_is_refused():
    def after(*stack):
        return Sequential([Input(shape=(2, 3, 4)), *stack])

    image = Input(shape=(2, 3, 4))
    added = Model(image, Dense(2)(Add()([Flatten()(image), Dense(24)(Flatten()(image))])))
    for model, named in [
        (after(Flatten(), Twice(), Dense(2)), "Twice 'twice'"),
        (after(Conv2D(4, 1), Reshape((2, 6, 2)), Flatten(), Dense(2)), "Reshape 'reshape'"),
        (after(Flatten(), Dense(24), Reshape((2, 3, 4)), Conv2D(2, 1)), "Reshape 'reshape'"),
        (added, "Add 'add'"),
    ]:
        for call in (model.to_torch_state_dict, lambda model=model: model.from_torch_state_dict({})):
            refused(ValueError, call, "expected layers whose outputs have a known order in PyTorch", f"got {named}. Move")


def test_layers_of_your_own_without_weights_may_stand_where_the_order_is_known():
    for stack in ([Twice(), Flatten(), Dense(2)], [Flatten(), Dense(3), Twice(), Dense(2)], [Reshape((2, 6, 2)), Conv2D(2, 1)]):
        assert Sequential([Input(shape=(2, 3, 4)), *stack]).to_torch_state_dict()


def test_a_layer_of_your_own_with_weights_is_refused():
    model = Sequential([Input(shape=(2, 3, 4)), Scale(), Flatten(), Dense(2)])
    words = "expected only layers whose weights have a known layout", "got Scale 'scale'. Move"
    refused(ValueError, model.to_torch_state_dict, *words)


# -- names ------------------------------------------------------------------------------------------------------------


def small():
    """A model with a convolution, a normalization and a dense layer, whose weights are all different."""
    stack = [Input(shape=(3, 4, 2)), Conv2D(3, 2), BatchNormalization(), Flatten(), Dropout(0.1), Dense(4)]
    model = Sequential(stack, seed=1)
    model.set_weights([np.arange(w.size, dtype=float).reshape(w.shape) + 100 * k for k, w in enumerate(model.get_weights())])
    return model


def assert_has_weights_of_small(model):
    for array, expected in zip(model.get_weights(), small().get_weights(), strict=True):
        np.testing.assert_array_equal(array, expected)


def assert_moves(state, names=None):
    """Assert that a fresh model gets the weights of small() from this state dict."""
    model = Sequential([Input(shape=(3, 4, 2)), Conv2D(3, 2), BatchNormalization(), Flatten(), Dropout(0.1), Dense(4)], seed=2)
    model.from_torch_state_dict(state, names=names)
    assert_has_weights_of_small(model)


def renamed(names):
    return small().to_torch_state_dict(names=names)


KEYS = {
    "conv2d": ["weight", "bias"],
    "batch_normalization": ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"],
    "dense": ["weight", "bias"],
}


def test_the_default_names_are_those_of_the_layers():
    state = small().to_torch_state_dict()
    assert [*state] == [f"{layer}.{tensor}" for layer, tensors in KEYS.items() for tensor in tensors]
    assert state["batch_normalization.num_batches_tracked"].dtype == np.int64
    assert_moves(dict(reversed(state.items())))             # by name, so in any order


def test_a_nested_model_s_layers_have_dots_in_their_names():
    inner = Sequential([Input(shape=(3,)), Dense(2)], name="inner")
    model = Sequential([Input(shape=(3,)), inner, Dense(1)])
    assert [*model.to_torch_state_dict()] == ["inner.dense.weight", "inner.dense.bias", "dense.weight", "dense.bias"]


@pytest.mark.parametrize("names", [["0", "1", "4"], {"dense": "4", "conv2d": "0", "batch_normalization": "1"}, ("a", "b.c", "d")])
def test_names_are_a_list_or_a_dict(names):
    state = renamed(names)
    assert_moves(state)
    assert_moves(dict(reversed(state.items())), names)


@pytest.mark.parametrize(
    "change",
    [
        lambda key: f"module.{key}",
        lambda key: f"_orig_mod.{key}",
        lambda key: f"module._orig_mod.module.{key}",
        lambda key: key.replace("0.", "0._orig_mod."),
        lambda key: f"model.net.{key}",
    ],
)
def test_the_words_of_wrappers_do_not_matter(change):
    state = {change(key): array for key, array in renamed(["0", "1", "4"]).items()}
    assert_moves(state)
    if "model.net" not in change(""):
        assert_moves(dict(reversed(state.items())), ["0", "1", "4"])
        assert_moves(state, [change(name + ".").rstrip(".") for name in ("0", "1", "4")])
    assert [*small().to_torch_state_dict(like=state)] == [*state]


def test_numbers_restore_the_order_that_a_file_loses():
    state = renamed(["9", "10", "11"])
    assert_moves({key: state[key] for key in sorted(state)})
    nested = renamed(["body.0", "body.1", "body.10"])
    assert_moves({key: nested[key] for key in sorted(nested)})


@pytest.mark.parametrize("names", [["conv", "norm", "fc"], ["a.0", "b.0", "c.0"]])
def test_an_order_that_was_lost_is_refused_rather_than_guessed(names):
    state = renamed(names)
    lost = {key: state[key] for key in sorted(state)}
    layers = "conv2d, batch_normalization, dense"
    words = "expected keys in PyTorch's order", f"which of the layers {layers}: names=[...]"
    refused(ValueError, lambda: assert_moves(lost), *words)
    assert_moves(lost, names)


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["0", "1"],
        ["0", "1", "1"],
        "014",
        {"conv2d": "0"},
        ["0", "1", 4],
        {"conv2d": "0", "norm": "1", "dense": "2"},
    ],
)
def test_names_that_are_not_one_for_each_layer_are_refused(names):
    words = "expected names with a different one for each of the 3 layers conv2d, batch_normalization, dense, got", "For example"
    refused(ValueError, lambda: small().to_torch_state_dict(names=names), *words)
    refused(ValueError, lambda: small().from_torch_state_dict(renamed(["0", "1", "4"]), names=names), *words)


def test_a_name_that_is_no_module_is_refused():
    def call():
        small().from_torch_state_dict(renamed(["0", "1", "4"]), names=["0", "1", "5"])

    refused(ValueError, call, "of shape (4, 18), for the kernel of 'dense', got no '5' among the modules ['0', '1', '4']")


# -- state dicts that do not fit --------------------------------------------------------------------------------------


def without(state, *keys):
    return {key: array for key, array in state.items() if key not in keys}


def good():
    return renamed(["0", "1", "4"])


# what is changed in a state dict that fits, and words of the error
MISFITS = {
    "another shape": (
        lambda state: state | {"4.weight": np.ones((4, 17))},
        "expected '4.weight' of shape (4, 18), for the kernel of 'dense', got shape (4, 17). Make both models with the same sizes",
    ),
    "a dense kernel of Keras": (
        lambda state: state | {"4.weight": state["4.weight"].T},
        "got shape (18, 4). It has Keras's layout, which model.set_weights takes",
    ),
    "a convolution of Keras": (
        lambda state: state | {"0.weight": state["0.weight"].transpose(2, 3, 1, 0)},
        "expected '0.weight' of shape (3, 2, 2, 2), for the kernel of 'conv2d', got shape (2, 2, 2, 3). It has Keras's layout",
    ),
    "one filter for all": (lambda state: state | {"0.weight": state["0.weight"][:1]}, "got shape (1, 2, 2, 2)"),
    "no bias": (
        lambda state: without(state, "0.bias"),
        "expected a bias of shape (3,), for the bias of 'conv2d', got a module without it, with '0.weight' of shape (3, 2, 2, 2)",
    ),
    "no weight": (
        lambda state: without(state, "4.weight"),
        "expected a weight of shape (4, 18), for the kernel of 'dense', got a module without it, with '4.bias' of shape (4,)",
    ),
    "no averages": (lambda state: without(state, "1.running_mean", "1.running_var"), "track_running_stats=True"),
    "no affine": (
        lambda state: without(state, "1.weight", "1.bias"),
        "expected a weight of shape (3,), for the gamma of 'batch_normalization', got a module without it",
    ),
    "no last module": (
        lambda state: without(state, "4.weight", "4.bias"),
        "expected a module with a weight of shape (4, 18), for the kernel of 'dense', got no more modules",
    ),
    "no first module": (
        lambda state: without(state, "0.weight", "0.bias"),
        "expected '1.weight' of shape (3, 2, 2, 2), for the kernel of 'conv2d', got shape (3,)",
    ),
    "one more module": (
        lambda state: state | {"6.weight": np.ones((2, 4))},
        "each of the layers conv2d, batch_normalization, dense, got one more, with '6.weight' of shape (2, 4)",
    ),
    "one more tensor": (
        lambda state: state | {"0.scale": np.ones(3)},
        "expected only weight, bias for 'conv2d', got also '0.scale' of shape (3,)",
    ),
    "weight normalization": (
        lambda state: without(state, "4.weight") | {"4.weight_g": np.ones((4, 1)), "4.weight_v": np.ones((4, 18))},
        "expected a weight of shape (4, 18), for the kernel of 'dense', got a module without it",
    ),
    "integers": (lambda state: state | {"4.weight": np.ones((4, 18), "int8")}, "expected '4.weight' to hold floats, got int8"),
    "complex numbers": (lambda state: state | {"4.bias": np.ones(4, "complex64")}, "'4.bias' to hold floats, got complex64"),
    "texts": (lambda state: state | {"4.bias": np.array([*"1234"])}, "expected '4.bias' to hold floats, got <U1"),
    "a mask": (lambda state: state | {"4.bias": np.ma.ones(4)}, "got a masked array"),
    "nothing": (lambda state: {}, "got no more modules"),
    "the counter of an average": (
        lambda state: {"n_averaged": np.array(3)} | {f"module.{key}": array for key, array in state.items()},
        "for the kernel of 'conv2d', got a module without it, with 'n_averaged' of shape ()",
    ),
}


@pytest.mark.parametrize("misfit", MISFITS)
def test_a_state_dict_that_does_not_fit_is_refused_and_changes_nothing(misfit):
    change, message = MISFITS[misfit]
    model = small()
    state = change({key: array * 2 for key, array in good().items()})
    refused(ValueError, lambda: model.from_torch_state_dict(state), "from_torch_state_dict: ", message)
    assert_has_weights_of_small(model)


class Module:
    def state_dict(self):
        return {}


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        ("net.pt", ValueError, "got 'net.pt', a pickle, which can run any program when it is read. Convert it in PyTorch"),
        (Path("a/net.PTH"), ValueError, "got 'net.PTH', a pickle"),
        ("net.safetensors", TypeError, "got the path 'net.safetensors'. load_safetensors(path) reads"),
        ([1], TypeError, "got [1]. torch_model.state_dict() returns one"),
        ({3: np.ones(1)}, TypeError, "expected a state dict, tensors by name"),
        ({"model": {"0.weight": np.ones(1)}, "epoch": 3}, TypeError, "got a dict named 'model' in it. If it is"),
        ({"epoch": 3}, TypeError, "got a int named 'epoch'. Remove it"),
        ({"0.weight": [[1.0]]}, TypeError, "got a list named '0.weight'. Remove it, or make it an array"),
        (Module(), TypeError, "got a Module. Pass its state_dict()"),
    ],
)
def test_what_is_no_state_dict_is_named(given, kind, message):
    refused(kind, lambda: small().from_torch_state_dict(given), "from_torch_state_dict: expected a", message)
    refused(kind, lambda: small().to_torch_state_dict(given), "to_torch_state_dict: expected a", message)


def test_a_model_without_an_input_shape_says_so():
    with pytest.raises(ValueError, match="knows the shape of its input"):
        Sequential([Dense(2)]).to_torch_state_dict()


def test_a_normalization_without_gamma_takes_only_ones_for_it():
    model = Sequential([Input(shape=(3,)), BatchNormalization(scale=False)])
    state = model.to_torch_state_dict()
    np.testing.assert_array_equal(state["batch_normalization.weight"], [1, 1, 1])
    model.from_torch_state_dict(without(state, "batch_normalization.weight"))
    state["batch_normalization.weight"] = np.array([1, 1, 1.5])
    refused(
        ValueError,
        lambda: model.from_torch_state_dict(state),
        "expected 'batch_normalization.weight' to hold only 1, since 'batch_normalization' has scale=False, got other numbers",
    )


def test_a_normalization_without_gamma_and_beta_is_one_that_is_not_affine():
    model = Sequential([Input(shape=(3,)), BatchNormalization(scale=False, center=False)])
    state = model.to_torch_state_dict(names=["0"])
    assert [*state] == ["0.running_mean", "0.running_var", "0.num_batches_tracked"]
    affine = {"0.weight": np.ones(3), "0.bias": np.zeros(3), **state}
    model.from_torch_state_dict(affine)
    assert [*model.to_torch_state_dict(affine)] == [*affine]
    other = affine | {"0.bias": np.ones(3)}
    refused(ValueError, lambda: model.from_torch_state_dict(other), "expected '0.bias' to hold only 0", "has center=False")


def test_state_dicts_of_old_versions_without_a_counter_fit():
    state = without(good(), "1.num_batches_tracked")
    assert_moves(state)
    assert [*small().to_torch_state_dict(state)] == [*state]


def test_arrays_in_any_memory_layout_and_of_any_float_type_are_taken():
    state = good()
    for dtype in ("float64", "float32", "float16", ">f4", "longdouble"):
        assert_moves({key: np.asfortranarray(array.astype(dtype)) if array.ndim else array for key, array in state.items()})
    for array in state.values():
        array.flags.writeable = False
    assert_moves(state)


def test_the_result_is_a_copy_and_so_is_what_was_taken():
    model, state = small(), good()
    model.from_torch_state_dict(state)
    state["0.weight"][...] = -1
    model.to_torch_state_dict()["dense.bias"][...] = -1
    assert_has_weights_of_small(model)


def test_weights_that_are_not_finite_are_taken_with_a_warning():
    state = good()
    state["4.bias"] = np.array([0, np.nan, 0, 0])
    with pytest.warns(RuntimeWarning, match="from_torch_state_dict: .*NaN or infinity in dense/bias") as caught:
        small().from_torch_state_dict(state)
    assert caught[0].filename == __file__


# -- tensors of PyTorch -----------------------------------------------------------------------------------------------


def test_tensors_of_any_kind_are_taken_or_named():
    torch = pytest.importorskip("torch", reason=NEEDS_TORCH)
    state = {key: torch.from_numpy(array) for key, array in good().items()}
    assert_moves(state)
    assert_moves({key: torch.nn.Parameter(tensor) if tensor.is_floating_point() else tensor for key, tensor in state.items()})
    assert_moves({key: tensor.double() for key, tensor in state.items() if "num" not in key})
    assert_moves(state | {"4.weight": state["4.weight"].T.contiguous().T})
    exact = {key: (tensor / 1000).bfloat16() for key, tensor in state.items()}
    model = small()
    model.from_torch_state_dict(exact)
    np.testing.assert_array_equal(model.get_weights()[-1], exact["4.bias"].float().numpy())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantized = torch.quantize_per_tensor(state["4.weight"], 0.1, 0, torch.qint8)
    weight = state["4.weight"]
    for other in (quantized, weight.to_sparse(), weight.to("meta"), weight.to(torch.float8_e4m3fn)):
        changed = state | {"4.weight": other}
        words = "expected '4.weight' as an array of numbers, got torch.", "that NumPy cannot read"
        refused(ValueError, lambda changed=changed: small().from_torch_state_dict(changed), *words)
    changed = state | {"4.weight": weight.char()}
    refused(ValueError, lambda: small().from_torch_state_dict(changed), "expected '4.weight' to hold floats, got int8")


@pytest.mark.parametrize("name", ["net_1", "net_2", "net_3"])
def test_the_networks_of_the_library_move_to_pytorch_and_back(name):
    torch = pytest.importorskip("torch", reason=NEEDS_TORCH)
    from torch import nn

    shape = (25, 25, 3) if name == "net_3" else (6, 5, 3)
    if name == "net_3":
        model = net_3(shape, 4, filters=(5, 6, 7), seed=1)
        blocks = []
        for C, F in ((32, 5), (5, 6), (6, 7)):
            blocks += [nn.Conv2d(C, F, 3, padding=1, bias=False), nn.MaxPool2d(2), nn.BatchNorm2d(F, eps=1e-3), nn.GELU()]
            blocks += [nn.Conv2d(F, F, 3, padding=1, bias=False), nn.BatchNorm2d(F, eps=1e-3), nn.GELU()]
        net = nn.Sequential(nn.Conv2d(3, 32, 2), nn.GELU(), *blocks, nn.MaxPool2d(3), nn.Flatten(), nn.Linear(7, 4, bias=False))
    elif name == "net_2":
        model = net_2(shape, 4, seed=1)
        net = nn.Sequential(
            nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.ZeroPad2d((1, 1, 0, 1)), nn.Conv2d(32, 64, 3, stride=2), nn.ReLU(),
            nn.Flatten(), nn.Linear(576, 128), nn.ReLU(), nn.Linear(128, 4),
        )  # fmt: skip
    else:
        model = net_1(shape, 4, seed=1)
        net = nn.Sequential(
            nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.ZeroPad2d((0, 1, 0, 1)),
            nn.MaxPool2d(2, 1), nn.Flatten(), nn.Linear(1920, 128), nn.ReLU(), nn.Linear(128, 4),
        )  # fmt: skip
    x = np.random.default_rng(2).standard_normal((3, shape[2], *shape[:2])).astype("float32")

    def theirs():
        with torch.no_grad():
            return net.eval()(torch.from_numpy(x)).numpy() / (9 if name == "net_3" else 1)

    for module in net:
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
    before = logits(model, x)
    model.from_torch_state_dict(net.state_dict())
    np.testing.assert_allclose(logits(model, x), theirs(), atol=1e-5, rtol=1e-5)
    assert not np.allclose(before, logits(model, x))
    model.set_weights([w + 0.01 for w in model.get_weights()])
    with_state(net, model.to_torch_state_dict(net.state_dict()))
    np.testing.assert_allclose(theirs(), logits(model, x), atol=1e-5, rtol=1e-5)


# -- the page ---------------------------------------------------------------------------------------------------------

DOCS = Path(__file__).parents[2] / "docs"


def test_the_program_of_the_page_moves_net_2_each_way(capsys):
    pytest.importorskip("torch", reason=NEEDS_TORCH)
    runpy.run_path(str(DOCS / "net_2_in_pytorch.py"), run_name="__main__")
    differences = re.findall(r"largest difference (\S+)", capsys.readouterr().out)
    assert len(differences) == 2
    assert max(map(float, differences)) < 1e-5


def test_the_lines_of_the_page_run(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch", reason=NEEDS_TORCH)
    pytest.importorskip("safetensors", reason="safetensors is not installed: pip install 'scratchnet[safetensors]'")
    monkeypatch.chdir(tmp_path)
    torch_model = runpy.run_path(str(DOCS / "net_2_in_pytorch.py"))["torch_net_2"]((8, 8, 1), 3)
    model, keras_model = net_2((8, 8, 1), 3, seed=1), net_2((8, 8, 1), 3, seed=2)      # ours has the two methods of Keras
    state_dict = model.to_torch_state_dict(names=["conv1", "conv2", "fc1", "fc2"])
    np.savez("weights.npz", *keras_model.get_weights())
    torch.save(torch_model.state_dict(), "net.pt")
    names = {"np": np, "model": model, "keras_model": keras_model, "torch_model": torch_model, "state_dict": state_dict}
    lines = re.findall(r"^```py\n(.*?)^```$", (DOCS / "weights.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(lines) == 5
    for block in lines:
        exec(block, names)
    model.from_torch_state_dict(load_safetensors("net.safetensors"))
    np.testing.assert_array_equal(model.get_weights()[-1], torch_model[-1].bias.detach().numpy())
