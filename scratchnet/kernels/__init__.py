"""SPEED: arrays in, arrays out; numba; no classes of layers, no policy."""
