"""Wrong answers to im2col that are not in the gallery."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def _windows(x, kernel, strides, pads, **how):
    padded = np.pad(x, ((0, 0), *pads, (0, 0)), **how)
    windows = sliding_window_view(padded, kernel, axis=(1, 2))[:, ::strides[0], ::strides[1]]
    return windows.transpose(0, 1, 2, 4, 5, 3)                          # (N, OH, OW, KH, KW, C)


def windows_column_by_column(x, kernel, strides, pads):
    windows = _windows(x, kernel, strides, pads)
    return windows.swapaxes(1, 2).reshape(-1, kernel[0] * kernel[1] * x.shape[3])


def rows_and_columns_of_padding_swapped(x, kernel, strides, pads):
    return _windows(x, kernel, strides, pads[::-1]).reshape(-1, kernel[0] * kernel[1] * x.shape[3])


def border_repeats_the_edge(x, kernel, strides, pads):
    return _windows(x, kernel, strides, pads, mode="edge").reshape(-1, kernel[0] * kernel[1] * x.shape[3])


def stride_inside_the_window(x, kernel, strides, pads):
    """Step by the stride inside the window, too."""
    (KH, KW), (SH, SW) = kernel, strides
    padded = np.pad(x, ((0, 0), *pads, (0, 0)))
    OH, OW = (padded.shape[1] - KH) // SH + 1, (padded.shape[2] - KW) // SW + 1
    rows = []
    for image in padded:
        for oh in range(OH):
            for ow in range(OW):
                for i in range(KH):
                    for j in range(KW):
                        h, v = (oh + i) * SH % image.shape[0], (ow + j) * SW % image.shape[1]
                        rows.append(image[h, v])
    return np.array(rows).reshape(len(x) * OH * OW, -1)


def padding_forgotten(x, kernel, strides, pads):
    return _windows(x, kernel, strides, ((0, 0), (0, 0))).reshape(-1, kernel[0] * kernel[1] * x.shape[3])
