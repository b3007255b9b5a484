"""Composes a process of the platform: a role's parts are started in order and left in reverse."""

from wsplatform.app.addresses import Inherited
from wsplatform.app.collector import collect_seldom
from wsplatform.app.process import ProcessInfo, Role, Supervised, serve

__all__ = ["Inherited", "ProcessInfo", "Role", "Supervised", "collect_seldom", "serve"]
