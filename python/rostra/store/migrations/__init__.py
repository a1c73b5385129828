"""Alembic's folder. A change of ``store/tables.py`` comes with a new file in ``versions``."""
