"""``python -m scratchnet.tools.saboteurs``: print the page docs/gallery.md."""

from scratchnet.tools.saboteurs.page import markdown

if __name__ == "__main__":
    print(markdown(), end="")
