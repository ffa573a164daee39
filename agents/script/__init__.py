"""The script chain's nodes: from a creator's wish to a livestream sales script, one file a node."""
