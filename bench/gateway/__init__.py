"""The model gateway under faults, under the death of a model, and beside LiteLLM: `python -m bench.gateway`."""
