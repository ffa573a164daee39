"""Understanding a request by rules or by a model: its class, the slots that it fills, and what it points back to."""
