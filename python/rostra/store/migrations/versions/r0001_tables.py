"""Accounts and tokens, as before there were migrations."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    version = op.create_table("schema_version", sa.Column("version", sa.Integer, primary_key=True))
    op.bulk_insert(version, [{"version": 1}])
    op.create_table(
        "account",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("api_secret", sa.Text, nullable=False),
    )
    op.create_table(
        "token",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("action", sa.String(16), nullable=False, index=True),
        sa.Column("account", sa.String(64), sa.ForeignKey("account.id"), nullable=False, index=True),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("streams", sa.Text, nullable=False),
        sa.Column("multisource", sa.Boolean, nullable=False),
        sa.Column("subscribe_requires_auth", sa.Boolean, nullable=False),
        sa.Column("is_active", sa.Boolean, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
    )
