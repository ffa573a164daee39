"""Postgres and Redis from Python wheels, for machines that have neither."""
