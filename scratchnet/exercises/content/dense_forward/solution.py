def dense_forward(x, w, b):
    return x @ w + b        # (N, D) @ (D, U) + (U,) -> (N, U)
