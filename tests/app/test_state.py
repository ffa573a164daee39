"""The state's checksum, which goes on from the version before: the same as that of the whole state, and cheap."""

from __future__ import annotations

import hashlib
import json
import random
import time

from app.state import Fold, canonical

KEYS = ["1", "2", "10", "11", *(f"branch[{n}]" for n in range(6)), *(f"loop#{n}/write" for n in (1, 2, 3)), "join", "é"]


def test_every_version_has_the_checksum_of_its_whole_state() -> None:
    # Given outputs small and large, committed in any order
    for seed in range(20):
        chance = random.Random(seed)
        fold, keys = Fold(), KEYS.copy()
        chance.shuffle(keys)
        for key in keys:
            # When one more is there, then the checksum is that of the state written anew
            fold.add(key, {"text": chance.choice(["x", "话" * 30_000, "y" * 70_000])})
            assert fold.checksum() == hashlib.sha256(fold.text()).hexdigest()
            assert canonical(json.loads(fold.text())) == fold.text()


def test_a_long_history_of_large_states_costs_little_more_than_its_newest() -> None:
    # Given 200 outputs of 1 MB: all states together are 20 GB
    fold, began = Fold(), time.process_time()
    # When each version's checksum is asked for
    for number in range(200):
        fold.add(f"{number:03}", "x" * 1_000_000)
        fold.checksum()
    # Then each output was hashed once
    assert time.process_time() - began < 5
