"""Measure the time to compute `cols` again in backward, and the memory to keep it; layers/conv2d.py names this file.

    python docs/im2col_share.py

prints im2col's median share of the time of `conv2d_backward`, for the second convolution of net_1 on 128 images of MNIST's size.
"""

from statistics import median
from time import perf_counter

import numpy as np

from scratchnet.kernels.im2col import im2col
from scratchnet.layers.conv2d import conv2d_backward

ROUNDS = 15
WINDOW = (1, 1), ((1, 1), (1, 1))       # strides and pads


def seconds(function, *arguments):
    """Return the seconds that one call takes, and its result."""
    start = perf_counter()
    result = function(*arguments)
    return perf_counter() - start, result


def main():
    """Measure both in turn, and print the share and the sizes."""
    rng = np.random.default_rng(0)
    shapes = (128, 28, 28, 32), (3, 3, 32, 64), (128, 28, 28, 64)
    x, w, dout = (rng.standard_normal(shape, dtype=np.float32) for shape in shapes)
    columns, backward = [], []
    for _ in range(ROUNDS):
        columns.append(seconds(im2col, x, w.shape[:2], *WINDOW)[0])
        backward.append(seconds(conv2d_backward, dout, x, w, *WINDOW)[0])
    cols = im2col(x, w.shape[:2], *WINDOW)
    print(f"im2col takes {median(columns) / median(backward):.0%} of backward's time")
    print(f"x has {x.nbytes / 1e6:.0f} MB, cols {cols.nbytes / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
