"""Several node processes on one host and one port, and the process that keeps them running."""

from wsplatform.supervisor.supervisor import Started, Supervisor, Worker

__all__ = ["Started", "Supervisor", "Worker"]
