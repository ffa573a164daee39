"""What the skills add to writing: changing, continuing, shortening and adapting a script, answering, and batches."""
