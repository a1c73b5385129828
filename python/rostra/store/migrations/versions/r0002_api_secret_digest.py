"""The digest of the API secret, by which its account is found in one query."""

import hashlib

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_account = sa.table("account", sa.column("id"), sa.column("api_secret"), sa.column("api_secret_digest"))
_version = sa.table("schema_version", sa.column("version"))


def upgrade() -> None:
    """Add the column, fill it, and make it the key of a unique index."""
    op.add_column("account", sa.Column("api_secret_digest", sa.String(64)))
    connection = op.get_bind()
    for identity, secret in connection.execute(sa.select(_account.c.id, _account.c.api_secret)).all():
        digest = hashlib.sha256(secret.encode()).hexdigest()
        connection.execute(_account.update().where(_account.c.id == identity).values(api_secret_digest=digest))
    with op.batch_alter_table("account") as account:
        account.alter_column("api_secret_digest", existing_type=sa.String(64), nullable=False)
        account.create_index("ix_account_api_secret_digest", ["api_secret_digest"], unique=True)
    # Programs without migrations look at this row alone, and refuse what is not 1.
    connection.execute(_version.delete())
    connection.execute(_version.insert().values(version=2))
