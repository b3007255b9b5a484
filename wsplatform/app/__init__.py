"""Composes a process of the platform: a role's parts are started in order and left in reverse."""

from wsplatform.app.process import ProcessInfo, Role, serve

__all__ = ["ProcessInfo", "Role", "serve"]
