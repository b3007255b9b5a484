"""The admin API: `/admin/v1/…`, for operators, on the registry.

A module for each area makes its routes, given the two or three collaborators that it needs; app/registry.py puts the
areas together. A route holds its handler and its description, so there is no one without the other.
"""
