"""Draw the pictures of these pages: `python docs/make_pictures.py`.

They are sheets of the two data sets that need no download, and the figures of
`scratchnet train --net net_2 --data glyphs --epochs 6`.
"""

import shutil
import tempfile
from pathlib import Path

from scratchnet import cli, datasets, plotting

PICTURES = Path(__file__).parent / "pictures"


def main() -> int:
    """Draw all pictures, and return the exit code of the command that trains."""
    for name in ("glyphs", "shapes"):
        data = datasets.load(name)
        plotting.image_sheet(data.x_train, data.y_train, data.class_names, path=PICTURES / f"{name}.png")
    with tempfile.TemporaryDirectory() as folder:
        code = cli.main(["train", "--net", "net_2", "--data", "glyphs", "--epochs", "6", "--out", folder])
        for name in ("history.png", "feature_maps.png", "confident_mistakes.png") if code == 0 else ():
            shutil.copyfile(Path(folder) / name, PICTURES / name)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
