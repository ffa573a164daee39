"""How a script is judged: rule packs, evasions, facts and shape. `agents/script/rules.py` is the door."""
