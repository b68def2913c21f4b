"""Draw the error of a numerical gradient against its step: `python docs/make_step_picture.py`.

The function is a convolution followed by a softmax, which is smooth everywhere; the exact gradient comes from the complex step.
The differences are computed here, because the checker refuses float32.
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from scratchnet.gradcheck import complex_step_gradient
from scratchnet.layers.activations import softmax_forward
from scratchnet.layers.conv2d import conv2d_forward

PICTURE = Path(__file__).parent / "pictures" / "steps.png"
STEPS = np.logspace(-14, -0.5, 55)


def f(x, w):
    """Return the softmax of a convolution: (N, H, W, C), (KH, KW, C, F) -> (N, OH·OW·F)."""
    return softmax_forward(conv2d_forward(x, w, None, (1, 1), ((0, 0), (0, 0))).reshape(len(x), -1))


def main():
    """Measure the errors and draw them."""
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 4, 4, 2)), rng.standard_normal((3, 2, 2, 2))
    dout = rng.standard_normal(f(x, w).shape)
    exact = complex_step_gradient(f, [x, w], 1, dout)

    def error(dtype, step, central):
        xs, ws, d = x.astype(dtype), w.astype(dtype), dout.astype(dtype)
        numeric = np.empty_like(w)
        for index in np.ndindex(w.shape):
            above, below = ws.copy(), ws.copy()
            above[index] += dtype(step)
            below[index] -= dtype(step) if central else 0
            span = float(above[index]) - float(below[index])
            change = (d * (f(xs, above) - f(xs, below))).sum(dtype=dtype)
            numeric[index] = float(change) / span if span else np.nan
        worst = np.abs(numeric - exact).max() / np.abs(exact).max()
        return worst if np.isfinite(worst) else np.nan

    figure = Figure(figsize=(8, 4.4), dpi=110, layout="constrained")
    axes = figure.subplots()
    kinds = [
        ("float32, central", np.float32, True, "#d55e00", "-"),
        ("float64, one-sided", np.float64, False, "#0072b2", "--"),
        ("float64, central", np.float64, True, "#0072b2", "-"),
    ]
    for label, dtype, central, colour, line in kinds:
        axes.loglog(STEPS, [error(dtype, step, central) for step in STEPS], line, color=colour, label=label)
    axes.axvline(1e-5, color="#555555", linestyle=":", label="the checker's step, 1e-5")
    axes.axhline(1e-6, color="#999999", linestyle="-.", label="the checker's tolerance, 1e-6")
    axes.set(xlabel="step h", ylabel="largest relative error", ylim=(1e-12, 10))
    axes.set_title("Error of a numerical gradient against its step")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.savefig(PICTURE)


if __name__ == "__main__":
    main()
