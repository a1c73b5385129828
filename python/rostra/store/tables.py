"""The tables. A change that old files do not fit raises ``SCHEMA_VERSION``."""

from typing import Final

from sqlalchemy import BigInteger, ForeignKey, Integer, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

SCHEMA_VERSION: Final = 1


class Base(DeclarativeBase):
    """Base of all tables."""


class SchemaRow(Base):
    """One row: the version that the file was written with."""

    __tablename__ = "schema_version"
    version: Mapped[int] = mapped_column(Integer, primary_key=True)


class AccountRow(Base):
    """See ``model.token.Account``."""

    __tablename__ = "account"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    api_secret: Mapped[str] = mapped_column(Text)


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
