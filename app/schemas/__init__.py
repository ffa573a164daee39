"""What comes in and what goes out, as pydantic models: they validate requests and describe answers for OpenAPI."""
