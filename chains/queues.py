"""The queues, by kind of work, and which of them a task's name belongs to. Declared here and nowhere else."""

AGENTS, TOOLS, MAINTENANCE, ISOLATED = "agents", "tools", "maintenance", "isolated"
QUEUES = (AGENTS, TOOLS, MAINTENANCE, ISOLATED)
_BY_PREFIX = {"tools.": TOOLS, "upkeep.": MAINTENANCE}


def queue_for(task_name: str) -> str:
    """The queue that a task's name belongs to; `isolated` is chosen by losses, not by name."""
    return next((queue for prefix, queue in _BY_PREFIX.items() if task_name.startswith(prefix)), AGENTS)
