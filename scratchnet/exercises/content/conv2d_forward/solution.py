from scratchnet.kernels.im2col import im2col


def conv2d_forward(x, w, b, strides, pads):
    N, H, W, C = x.shape
    KH, KW, _, F = w.shape
    (SH, SW), ((top, bottom), (left, right)) = strides, pads
    OH = (H + top + bottom - KH) // SH + 1
    OW = (W + left + right - KW) // SW + 1
    cols = im2col(x, w.shape[:2], strides, pads)    # (N·OH·OW, KH·KW·C)
    out = cols @ w.reshape(-1, F) + b               # @ (KH·KW·C, F) -> (N·OH·OW, F)
    return out.reshape(N, OH, OW, F)
