"""What runs in which order: chain definitions, the plan, and everything that moves a run."""
