"""May they: permissions by role, limits by plan, the record of what was done, personal data."""
