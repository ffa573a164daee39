"""What an error of the database means to somebody who only reads: it is away, or it does not take a value."""

from __future__ import annotations

import psycopg2
from sqlalchemy import exc

DATABASE_AWAY: tuple[type[Exception], ...] = (
    exc.OperationalError,
    exc.InterfaceError,
    exc.TimeoutError,
    psycopg2.OperationalError,
    psycopg2.InterfaceError,
)
"""It is stopped, starting, frozen, or has no connection to spare; the same again may work in a moment."""

VALUE_REFUSED: tuple[type[Exception], ...] = (exc.DataError, psycopg2.DataError)
"""A value that no validation caught, such as an integer out of range."""


def first_line(error: Exception) -> str:
    """The error in one line."""
    return (str(error).splitlines() or [repr(error)])[0]
