"""Draw a digit in a web page, and see what a network predicts while you draw.

`look.py` computes what the page shows, as numbers; `server.py` serves the page on this machine; `page.py` makes the page.
"""
