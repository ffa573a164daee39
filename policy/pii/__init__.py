"""Personal data and secrets in text: which there are, and what may stay readable of them. `mask.py` is the way in."""
