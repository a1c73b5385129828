"""Run by Alembic. ``store/migrate.py`` gives the connection and holds the transaction around all revisions."""

from alembic import context

from rostra.store.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    transactional_ddl=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
