"""How findings in labelled lines are scored: what was right, missed and a false alarm, by set and by kind."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Score:
    """What came out for a set, or for a kind of finding in it; lines: what went wrong, to be read."""

    right: int = 0
    missed: int = 0
    false_alarms: int = 0
    lines: list[str] = field(default_factory=list)

    @property
    def precision(self) -> float:
        """How many of the findings are right."""
        found = self.right + self.false_alarms
        return self.right / found if found else 1.0

    @property
    def recall(self) -> float:
        """How many of the expected findings were found."""
        wanted = self.right + self.missed
        return self.right / wanted if wanted else 1.0
