"""Composes a process of the platform: a role's parts are started in order and left in reverse."""

from wsplatform.app.addresses import Inherited
from wsplatform.app.interpreter import tune_interpreter
from wsplatform.app.process import ProcessInfo, Role, Supervised, serve

__all__ = ["Inherited", "ProcessInfo", "Role", "Supervised", "serve", "tune_interpreter"]
