"""Who is it: tenants, users, groups, API keys, tokens, and the proof of each."""
