"""Nodes that keep a promise to the people whose data this is: what they ask to have forgotten is forgotten."""
