"""Tests of the project's web pages in a real browser: `pip install -e '.[browser]'`, and Debian's chromium and chromium-driver."""
