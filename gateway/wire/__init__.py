"""One call of one model over the network: LangChain's clients watched, their chunks and their errors in one shape."""
