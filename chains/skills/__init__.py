"""The skills: each file here is one, a chain with its input's schema; chains/catalog.py finds a new file by itself."""
