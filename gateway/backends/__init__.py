"""Which backends there are: the models file, or what is found without one, and the embedded model's process."""
