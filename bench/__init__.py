"""Measures kubemirror: `python -m bench`."""
