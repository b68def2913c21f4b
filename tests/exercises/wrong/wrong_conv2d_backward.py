"""Wrong answers to conv2d_backward that are not in the gallery."""

import numpy as np


def _backward(dout, x, w, strides, pads):
    (SH, SW), (_, OH, OW, _) = strides, dout.shape
    padded = np.pad(x, ((0, 0), *pads, (0, 0)))
    dpadded, dw = np.zeros_like(padded), np.zeros_like(w)
    for i, j in np.ndindex(w.shape[:2]):
        pixels = np.s_[:, i:i + SH * OH:SH, j:j + SW * OW:SW]
        dw[i, j] = np.tensordot(padded[pixels], dout, ((0, 1, 2), (0, 1, 2)))
        dpadded[pixels] += dout @ w[i, j].T
    return dpadded, dw, dout.sum(axis=(0, 1, 2))


def _cut(dpadded, x, pads):
    (top, _), (left, _) = pads
    return dpadded[:, top:top + x.shape[1], left:left + x.shape[2]]


def border_not_cut_off(dout, x, w, strides, pads):
    return _backward(dout, x, w, strides, pads)


def cut_from_the_wrong_corner(dout, x, w, strides, pads):
    dpadded, dw, db = _backward(dout, x, w, strides, pads)
    return dpadded[:, :x.shape[1], :x.shape[2]], dw, db


def cut_at_minus_zero(dout, x, w, strides, pads):
    """End the slice at -bottom, which is empty where bottom is 0."""
    dpadded, dw, db = _backward(dout, x, w, strides, pads)
    (top, bottom), (left, right) = pads
    return dpadded[:, top:-bottom, left:-right], dw, db


def bias_gradient_of_each_place(dout, x, w, strides, pads):
    dpadded, dw, _ = _backward(dout, x, w, strides, pads)
    return _cut(dpadded, x, pads), dw, dout.sum(axis=0)


def weights_of_the_last_window(dout, x, w, strides, pads):
    """Assign in the loop over the windows in place of adding."""
    dpadded, _, db = _backward(dout, x, w, strides, pads)
    padded = np.pad(x, ((0, 0), *pads, (0, 0)))
    for oh, ow in np.ndindex(dout.shape[1:3]):
        h, v = oh * strides[0], ow * strides[1]
        dw = np.tensordot(padded[:, h:h + w.shape[0], v:v + w.shape[1]], dout[:, oh, ow], (0, 0))
    return _cut(dpadded, x, pads), dw, db


def first_image_only(dout, x, w, strides, pads):
    dpadded, _, db = _backward(dout, x, w, strides, pads)
    return _cut(dpadded, x, pads), _backward(dout[:1], x[:1], w, strides, pads)[1], db
