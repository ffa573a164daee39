"""The keys that entries of the models file name: written there, in an environment variable, or in a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from settings import secret_named
from storage.file_stamp import Stamp, stamp_of

MAX_KEY_BYTES = 16 * 1024
FIELDS = ("api_key", "api_key_env", "api_key_file")


class KeyMistake(ValueError):
    """An entry's key cannot be had; `field` is where the mistake is. Shows no value: it may be the key itself."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class Keys:
    """The keys of one models file, by the entry's number. stamps: of the files that keys were read from."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._found: dict[int, str] = {}
        self.stamps: dict[Path, Stamp] = {}

    def of(self, number: int) -> str | None:
        """The key of an entry, where it has one."""
        return self._found.get(number)

    def find(self, number: int, entry: Mapping[Any, Any]) -> None:
        """Look for the key of an entry. Raises KeyMistake."""
        given = [field for field in FIELDS if isinstance(entry.get(field), str)]
        if len(given) > 1:
            raise KeyMistake(given[1], f"{given[0]} is given too, one of them is enough")
        if not given:
            return
        field = given[0]
        key = self._read(field, entry[field])
        if not key.isascii() or not key.isprintable() or " " in key:
            raise KeyMistake(field, "the key has spaces, line breaks or letters that no key has")
        self._found[number] = key

    def _read(self, field: str, said: str) -> str:
        if field == "api_key_env":
            if not (value := secret_named(said)):
                raise KeyMistake(field, "there is no such environment variable")
            return value.strip()
        if field == "api_key_file":
            return self._from_file(self._folder / Path(said).expanduser())
        if said.startswith("$"):
            raise KeyMistake(field, "nothing is interpolated here, use api_key_env: NAME")
        return said

    def _from_file(self, path: Path) -> str:
        try:
            self.stamps[path] = stamp_of(path)
            with path.open("rb") as file:
                key = file.read(MAX_KEY_BYTES).decode("ascii", "replace").strip()
        except (OSError, ValueError) as wrong:
            why = getattr(wrong, "strerror", None) or "this is no path"
            raise KeyMistake("api_key_file", why) from wrong
        if not key:
            raise KeyMistake("api_key_file", "the file is empty")
        return key
