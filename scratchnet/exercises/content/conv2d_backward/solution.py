import numpy as np

from scratchnet.kernels.im2col import im2col


def conv2d_backward(dout, x, w, strides, pads):
    (N, H, W, C), (KH, KW, _, F) = x.shape, w.shape
    (SH, SW), ((top, bottom), (left, right)) = strides, pads
    _, OH, OW, _ = dout.shape
    dout = dout.reshape(-1, F)                      # (N·OH·OW, F)
    cols = im2col(x, w.shape[:2], strides, pads)    # as in forward: (N·OH·OW, KH·KW·C)
    dw = (cols.T @ dout).reshape(w.shape)           # (KH·KW·C, F) -> (KH, KW, C, F)
    db = dout.sum(axis=0)                           # (F,)
    dcols = dout @ w.reshape(-1, F).T               # (N·OH·OW, KH·KW·C)

    # col2im: each cell of a window is added to the pixel from which it was copied
    dcols = dcols.reshape(N, OH, OW, KH, KW, C)
    dpadded = np.zeros((N, top + H + bottom, left + W + right, C))
    for i in range(KH):
        for j in range(KW):
            rows, columns = slice(i, i + OH * SH, SH), slice(j, j + OW * SW, SW)
            dpadded[:, rows, columns] += dcols[:, :, :, i, j]       # (N, OH, OW, C)
    dx = dpadded[:, top : top + H, left : left + W]                 # (N, H, W, C)
    return dx, dw, db
