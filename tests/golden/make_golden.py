"""Make the golden trajectories: the first losses and gradient norms of both nets, from stored arrays.

    python tests/golden/make_golden.py              makes what is missing; refuses to overwrite
    python tests/golden/make_golden.py --force      computes the trajectories again, from the same stored start
    python tests/golden/make_golden.py --verify     compares them with PyTorch (if installed) and with examples/01_one_page_net.py

Two of the files beside this one belong to it.

start.npz          initial weights and ten batches. They were drawn once and are kept, so that no later change of a random
                   generator can move them: --force leaves them alone. Weights are float16 and images bytes (taken as
                   multiples of 1/256), both exact in float32 and float64. The nets share their weights; only the kernels
                   of their first dense layers differ in shape, and both are one stored pattern of 5153 numbers repeated.
                   5153 is prime and more than the 5120 rows of the larger, so no two rows are alike.
trajectories.npz   for each net the losses of its first ten steps of Adam (with its defaults), each on its own batch, the norms
                   √(Σ g²) of those steps' gradients over all parameters, and the norm of the weights after the last step.
                   In float64, by the im2col implementation.

They can be trusted because others agree with them. On the day they were made, --verify said, as largest relative differences
of all these numbers in float64:

    net_1     PyTorch 2.13 (its convolutions, pooling and derivatives; Adam in Keras's form written out)    5.6e-16
    net_2     the same                                                                                      2.2e-16
    net_2     examples/01_one_page_net.py: NumPy and nothing else, no line of it from the library           2.2e-16
"""

import importlib.util
import sys
from pathlib import Path

import numpy as np

from scratchnet import net_1, net_2
from scratchnet.kernels.threads import limit

HERE = Path(__file__).parent
START, TRAJECTORIES = HERE / "start.npz", HERE / "trajectories.npz"
NETS = {"net_1": (net_1, (8, 10, 2)), "net_2": (net_2, (9, 11, 2))}
CLASSES, STEPS, BATCH, PATTERN = 3, 10, 7, 5153
RATE, BETA_1, BETA_2, EPSILON = 1e-3, 0.9, 0.999, 1e-7


# -- the start --------------------------------------------------------------------------------------------------------


def draw_start():
    """Draw weights and batches: a dict of arrays."""
    rng = np.random.default_rng(20240229)

    def uniform(shape, limit):
        return rng.uniform(-limit, limit, shape).astype(np.float16)

    arrays = {
        "conv2d/kernel": uniform((3, 3, 2, 32), 0.14), "conv2d/bias": uniform(32, 0.1),
        "conv2d_1/kernel": uniform((3, 3, 32, 64), 0.08), "conv2d_1/bias": uniform(64, 0.1),
        "dense/pattern": uniform(PATTERN, 0.04), "dense/bias": uniform(128, 0.1),
        "dense_1/kernel": uniform((128, CLASSES), 0.2), "dense_1/bias": uniform(CLASSES, 0.1),
    }  # fmt: skip
    for name, (_, shape) in NETS.items():
        labels = rng.integers(0, CLASSES, (STEPS, BATCH))
        images = rng.integers(0, 100, (STEPS, BATCH, *shape))
        for step, n in np.ndindex(labels.shape):
            images[step, n, :, 3 * labels[step, n] : 3 * labels[step, n] + 2] += 80    # a brighter bar, where the label says
        arrays |= {f"{name}/images": images.astype(np.uint8), f"{name}/labels": labels.astype(np.uint8)}
    return arrays


def initial_weights(start, name):
    """Return a net's weights in the order of `get_weights`."""
    H, W, _ = NETS[name][1]
    rows = 64 * (H * W if name == "net_1" else (H + 1) // 2 * ((W + 1) // 2))
    kernel = np.resize(start["dense/pattern"], (rows, 128))             # repeats the pattern, row after row
    return [
        kernel if key == "dense/pattern" else start[key]
        for layer in ("conv2d", "conv2d_1", "dense", "dense_1")
        for key in (f"{layer}/pattern" if layer == "dense" else f"{layer}/kernel", f"{layer}/bias")
    ]


def batches(start, name, dtype):
    """Return the ten batches: a list of images (N, H, W, C) and one-hot labels (N, K)."""
    images, labels = start[f"{name}/images"].astype(dtype) / 256, np.eye(CLASSES, dtype=dtype)[start[f"{name}/labels"]]
    return list(zip(images, labels, strict=True))


# -- a trajectory -----------------------------------------------------------------------------------------------------


def norm(arrays):
    """√(Σ a²) over all numbers of all arrays, summed in float64."""
    return float(np.sqrt(sum(np.square(a, dtype=np.float64).sum() for a in arrays)))


def trajectory(start, name, dtype, implementation, fuse=True):
    """Train a net for ten steps: losses (10,), gradient norms (10,), norm of the last weights."""
    make, shape = NETS[name]
    model = make(shape, CLASSES, dtype=dtype, implementation=implementation)
    model.set_weights(initial_weights(start, name))
    model.compile(optimizer="adam", loss="categorical_crossentropy", fuse=fuse)
    losses, norms = [], []
    with limit(1):
        for x, y in batches(start, name, dtype):
            losses.append(model.train_on_batch(x, y))
            norms.append(norm(model.grads.values()))
    return {"losses": np.array(losses), "gradient_norms": np.array(norms), "weight_norm": np.array(norm(model.get_weights()))}


def compute():
    """Compute what trajectories.npz holds."""
    start = dict(np.load(START))
    return {
        f"{name}/{key}": value for name in NETS for key, value in trajectory(start, name, "float64", "im2col").items()
    }


# -- other implementations ---------------------------------------------------------------------------------------------------


def follow(gradients, start, name):
    """Train as `trajectory` does, but with another's function (weights, x, y) -> loss, gradients, and Adam written out."""
    weights = [w.astype(np.float64) for w in initial_weights(start, name)]
    ms, vs = [np.zeros_like(w) for w in weights], [np.zeros_like(w) for w in weights]
    losses, norms = [], []
    for t, (x, y) in enumerate(batches(start, name, np.float64), 1):
        loss, grads = gradients(weights, x, y)
        losses.append(loss)
        norms.append(norm(grads))
        for w, g, m, v in zip(weights, grads, ms, vs, strict=True):
            m[...] = BETA_1 * m + (1 - BETA_1) * g
            v[...] = BETA_2 * v + (1 - BETA_2) * g**2
            w -= RATE * np.sqrt(1 - BETA_2**t) / (1 - BETA_1**t) * m / (np.sqrt(v) + EPSILON)
    return {"losses": np.array(losses), "gradient_norms": np.array(norms), "weight_norm": np.array(norm(weights))}


def one_page_gradients(weights, x, y):
    """Ask examples/01_one_page_net.py, which tells a net_2 of any size."""
    path = HERE.parents[1] / "examples" / "01_one_page_net.py"
    spec = importlib.util.spec_from_file_location("one_page_net", path)
    page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(page)
    logits, cache = page.forward(x, weights)
    loss, dlogits = page.softmax_cross_entropy(logits, y)
    return loss, page.backward(dlogits, cache, weights)


def torch_gradients(name):
    """Make a function that asks PyTorch's own operations and derivatives; padding is put on by hand, as Keras's `same`."""
    import torch
    from torch.nn.functional import conv2d, cross_entropy, max_pool2d, pad

    def padded(x, kernel, stride, value):
        totals = [max(0, (-(-size // stride) - 1) * stride + kernel - size) for size in x.shape[2:]]
        (top, bottom), (left, right) = [(total // 2, total - total // 2) for total in totals]
        return pad(x, (left, right, top, bottom), value=value)

    def gradients(weights, x, y):
        w1, b1, w2, b2, w3, b3, w4, b4 = leaves = [torch.tensor(w, requires_grad=True) for w in weights]
        stride = 1 if name == "net_1" else 2
        a = torch.tensor(x).permute(0, 3, 1, 2)                                         # NHWC -> NCHW
        a = conv2d(padded(a, 3, 1, 0.0), w1.permute(3, 2, 0, 1), b1).relu()             # (KH, KW, C, F) -> (F, C, KH, KW)
        a = conv2d(padded(a, 3, stride, 0.0), w2.permute(3, 2, 0, 1), b2, stride).relu()
        if name == "net_1":
            a = max_pool2d(padded(a, 2, 1, -torch.inf), 2, 1)
        a = a.permute(0, 2, 3, 1).flatten(1)                                            # rows in NHWC's order
        loss = cross_entropy((a @ w3 + b3).relu() @ w4 + b4, torch.tensor(y))
        loss.backward()
        return loss.item(), [leaf.grad.numpy() for leaf in leaves]

    return gradients


def verify():
    """Print how far others are from the stored trajectories."""
    start, stored = dict(np.load(START)), dict(np.load(TRAJECTORIES))
    others = [("examples/01_one_page_net.py", "net_2", one_page_gradients)]
    if importlib.util.find_spec("torch"):
        others += [("PyTorch", name, torch_gradients(name)) for name in NETS]
    for who, name, gradients in others:
        result = follow(gradients, start, name)
        worst = max(np.abs(value / stored[f"{name}/{key}"] - 1).max() for key, value in result.items())
        print(f"{name}  {who:<30} largest relative difference {worst:.1e}")


def main(arguments):
    """Do what the command line says; the module's docstring says what that may be."""
    if arguments == ["--verify"]:
        return verify()
    if arguments not in ([], ["--force"]):
        sys.exit("usage: make_golden.py [--force | --verify]")
    if TRAJECTORIES.exists() and not arguments:
        sys.exit(
            f"{TRAJECTORIES.name} is there, and is kept: what differs from it has drifted."
            " If the arithmetic was meant to change, say why in the commit and run with --force, then --verify"
        )
    if not START.exists():
        np.savez_compressed(START, **draw_start())
    np.savez_compressed(TRAJECTORIES, **compute())
    return print(f"wrote {TRAJECTORIES.name}; now run with --verify")


if __name__ == "__main__":
    main(sys.argv[1:])
