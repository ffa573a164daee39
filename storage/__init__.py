"""Everything that is kept: Postgres, Redis, blobs, and the embedded servers for machines that have none."""
