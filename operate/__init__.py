"""What the operator's commands do: start and watch every process, find a running instance, show its runs."""
