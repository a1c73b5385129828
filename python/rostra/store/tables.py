"""The tables, as the newest revision in ``migrations/versions`` leaves them. A change comes with a new revision."""

from sqlalchemy import BigInteger, ForeignKey, Integer, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """Base of all tables."""


class SchemaRow(Base):
    """One row, for programs without migrations: they refuse a file in which it is not 1. Nothing else reads it."""

    __tablename__ = "schema_version"
    version: Mapped[int] = mapped_column(Integer, primary_key=True)


class AccountRow(Base):
    """See ``model.token.Account``."""

    __tablename__ = "account"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    api_secret: Mapped[str] = mapped_column(Text)
    api_secret_digest: Mapped[str] = mapped_column(String(64), unique=True, index=True)
    """SHA-256, hexadecimal. Looked up by it, so no comparison depends on the secret."""


class TokenRow(Base):
    """Publish and subscribe tokens. Looked up by the digest of the value, so no comparison depends on the secret."""

    __tablename__ = "token"
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    action: Mapped[str] = mapped_column(String(16), index=True)
    account: Mapped[str] = mapped_column(ForeignKey("account.id"), index=True)
    value: Mapped[str] = mapped_column(Text)
    label: Mapped[str] = mapped_column(Text)
    streams: Mapped[str] = mapped_column(Text)
    multisource: Mapped[bool] = mapped_column(default=True)
    subscribe_requires_auth: Mapped[bool] = mapped_column(default=False)
    is_active: Mapped[bool] = mapped_column(default=True)
    expires_at: Mapped[int | None] = mapped_column(BigInteger, default=None)
