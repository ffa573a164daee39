"""What Baton is compared with: workflow engines on the same Postgres, in an environment of their own (.venv-peers)."""
