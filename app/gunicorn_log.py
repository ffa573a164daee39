"""gunicorn's own messages go where all logs go: as JSON lines, and its access log is ours (app/factory.py)."""

from __future__ import annotations

import logging
from typing import Any

from gunicorn.glogging import Logger as GunicornLogger


class Logger(GunicornLogger):  # type: ignore[misc]
    """Leaves the handlers to telemetry.setup; gunicorn would install its own."""

    def setup(self, cfg: Any) -> None:
        """Let gunicorn's loggers speak through the root logger."""
        for logger in (self.error_log, self.access_log):
            logger.handlers[:] = []
            logger.propagate = True
        self.error_log.setLevel(cfg.loglevel.upper())
        self.access_log.setLevel(logging.CRITICAL)
