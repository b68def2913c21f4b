"""Draw the pictures of chapter 3: `python docs/book/03_pictures.py`.

They show the windows of an image as the rows of a matrix, one column of this matrix, and the way back of col2im.
"""

import numpy as np
from grids import BLUE, GREEN, IMAGE, INK, KERNEL, ORANGE, PALE, PINK, QUIET, arrow, grid, ink, outline, save, sheet, text

from scratchnet.kernels.im2col import col2im, im2col

VALID = (3, 3), (1, 1), ((0, 0), (0, 0))
COLS = im2col(IMAGE[None, :, :, None], *VALID)              # (9, 9)
NUMBERED = 10.0 * np.arange(9)[:, None] + np.arange(9)      # (9, 9), each number says its row and its column
CHOSEN = {0: ORANGE, 4: BLUE, 8: GREEN}                     # windows, and their colours


def draw_im2col():
    """Draw three windows in colour, the rows that they become, and the product with the kernel."""
    figure, axes = sheet(5.2, 6.2, 15.4, 18.2)
    grid(axes, 1, 1.2, IMAGE, title="image x", fill=ink(IMAGE), size=12)
    for k, (r, color) in enumerate(CHOSEN.items()):
        h, v = divmod(r, 3)
        outline(axes, 1 + v + 0.06 * k, 1.2 + h + 0.06 * k, 3, 3, color)
        text(axes, 7.1, 2.1 + 1.5 * k, f"window {r}, at ({h}, {v})", color=color, ha="left", weight="bold")
    paint = lambda h, v: PALE[CHOSEN[h]] if h in CHOSEN else "white"
    grid(axes, 1, 8.4, COLS, title="cols: one row for each window", fill=paint, names=True)
    for r, color in CHOSEN.items():
        outline(axes, 1, 8.4 + r, 9, 1, color)
    text(axes, 10.6, 12.9, "@", size=15)
    grid(axes, 11.2, 8.4, KERNEL.reshape(9, 1), title="w", fill=lambda h, v: "white")
    text(axes, 12.9, 12.9, "=", size=15)
    out = COLS @ KERNEL.reshape(9, 1)
    grid(axes, 13.6, 8.4, out, title="out", fill=paint)
    for r, color in CHOSEN.items():
        outline(axes, 13.6, 8.4 + r, 1, 1, color)
    save(figure, "03-im2col.png")


def draw_tap():
    """Draw one column of the matrix: the same cell of all windows, which is a part of the image."""
    figure, axes = sheet(5.2, 4.6, 16.4, 13.4)
    paint = ink(IMAGE)
    covered = lambda h, v: h < 3 and v >= 2
    grid(axes, 0.2, 4, IMAGE, title="image x", fill=lambda h, v: PALE[PINK] if covered(h, v) else paint(h, v))
    outline(axes, 2.2, 4, 3, 3, PINK)
    grid(axes, 7.2, 2, COLS, title="cols", fill=lambda r, q: PALE[PINK] if q == 2 else "white", names=True)
    outline(axes, 9.2, 2, 1, 9, PINK)
    arrow(axes, (3.7, 3.9), (9.7, 1.3), PINK, width=2, bend=-0.3)
    text(axes, 0.2, 12, "column 2 is the cell i = 0, j = 2 of every window:", ha="left", color=INK)
    text(axes, 0.2, 12.9, "x[0:3, 2:5], row by row", ha="left", color=PINK, weight="bold")
    save(figure, "03-tap.png")


def draw_col2im():
    """Draw the six copies of one pixel, and their sum."""
    figure, axes = sheet(5.2, 5.6, 15.2, 16.4)
    back = col2im(NUMBERED, (1, 5, 5, 1), *VALID)[0, :, :, 0]
    copies = [(r, q) for r in range(9) for q in range(9) if (r // 3 + q // 3, r % 3 + q % 3) == (1, 2)]
    grid(axes, 1, 1.6, NUMBERED, title="a: each number says its row and its column", names=True, size=11,
         fill=lambda r, q: PALE[BLUE] if (r, q) in copies else "white", label=lambda value: f"{value:02.0f}")  # fmt: skip
    for r, q in copies:
        outline(axes, 1 + q, 1.6 + r, 1, 1, BLUE, width=1.5)
    grid(axes, 9.8, 11.2, back, title="", names=True, size=10, fill=lambda h, v: PALE[BLUE] if (h, v) == (1, 2) else "white")
    text(axes, 9.2, 15.7, "col2im(a)", ha="right", color=QUIET)
    outline(axes, 11.8, 12.2, 1, 1, BLUE)
    total = " + ".join(f"{NUMBERED[r, q]:02.0f}" for r, q in copies)
    text(axes, 0.4, 12.6, total, ha="left", size=11, color=BLUE, weight="bold")
    text(axes, 0.4, 13.7, f"= {back[1, 2]:g}", ha="left", size=12, color=BLUE, weight="bold")
    arrow(axes, (2.7, 13.7), (11.8, 12.8), BLUE, width=2, bend=0.15)
    save(figure, "03-col2im.png")


def main():
    """Draw all pictures of the chapter."""
    draw_im2col()
    draw_tap()
    draw_col2im()


if __name__ == "__main__":
    main()
