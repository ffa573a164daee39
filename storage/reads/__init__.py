"""What a person or a client looks at, read through the ORM as the role that sees one tenant."""
