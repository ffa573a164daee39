"""How a script is written: a small grammar and its fitting for the rules, prompts and part marks for a model."""
