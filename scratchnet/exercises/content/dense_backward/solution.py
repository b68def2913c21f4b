def dense_backward(dout, x, w):
    dx = dout @ w.T             # (N, U) @ (U, D) -> (N, D)
    dw = x.T @ dout             # (D, N) @ (N, U) -> (D, U)
    db = dout.sum(axis=0)       # (N, U) -> (U,)
    return dx, dw, db
