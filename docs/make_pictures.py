"""Draw the pictures of these pages: `python docs/make_pictures.py`.

They are sheets of the two data sets that need no download, one image in 24 variations, and the figures of
`scratchnet train --net net_2 --data glyphs --epochs 6`.
"""

import shutil
import tempfile
from pathlib import Path

import numpy as np

from scratchnet import Input, RandomFlip, RandomTranslation, Sequential, cli, datasets, plotting, preprocessing

PICTURES = Path(__file__).parent / "pictures"


def draw_variations() -> None:
    """Draw one image of shapes as augmentation layers vary it in training."""
    image = preprocessing.normalize_images(datasets.load("shapes").x_train[6:7])
    model = Sequential([Input(shape=image.shape[1:]), RandomFlip("horizontal"), RandomTranslation(0.15, 0.15)], seed=1)
    images = model.forward(np.repeat(image, 24, axis=0).astype("float32"), training=True)
    title = 'RandomFlip("horizontal") and RandomTranslation(0.15, 0.15)'
    plotting.variations(image[0], images, title=title, path=PICTURES / "variations.png")


def main() -> int:
    """Draw all pictures, and return the exit code of the command that trains."""
    for name in ("glyphs", "shapes"):
        data = datasets.load(name)
        plotting.image_sheet(data.x_train, data.y_train, data.class_names, path=PICTURES / f"{name}.png")
    draw_variations()
    with tempfile.TemporaryDirectory() as folder:
        code = cli.main(["train", "--net", "net_2", "--data", "glyphs", "--epochs", "6", "--out", folder])
        for name in ("history.png", "feature_maps.png", "confident_mistakes.png") if code == 0 else ():
            shutil.copyfile(Path(folder) / name, PICTURES / name)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
