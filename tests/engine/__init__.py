"""The engine with a real worker, real Postgres and real Redis: what happens when things go well, and otherwise."""
