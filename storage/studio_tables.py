"""The tables of the script studio: who speaks (creators) and what is sold (products), as a tenant told us.

What `tables.py` says of the engine's tables holds here too. A person clicks these, and two nodes of a script read them
once a run (`storage/catalog.py`). No statement of the hot path does, so their indexes may begin with the tenant.

Names are compared by `name_key` (`catalog.key`): Python's case folding after NFKC, which no collation of a server
changes. An archived row keeps its place for the record; its name, SKU and external id are free again.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, Numeric, func, text
from sqlalchemy.orm import Mapped, mapped_column

from storage.tables import Base

NO_TEXTS = text("'{}'")
LIVE = "archived_at IS NULL"


class CreatorProfile(Base):
    """A creator (达人): style, catch-phrases, words that are never said, and what brand contracts ask for.

    banned: words that the creator does not say; brand_bans: words that a contract forbids, such as a rival's name;
    policy_tags: labels of brand policies for people and programs.
    """

    __tablename__ = "creator_profiles"
    __table_args__ = (
        Index("creator_profiles_by_name", "tenant_id", "name_key", unique=True, postgresql_where=text(LIVE)),
        Index(
            "creator_profiles_by_external_id",
            "tenant_id",
            "external_id",
            unique=True,
            postgresql_where=text(f"external_id IS NOT NULL AND {LIVE}"),
        ),
        # the list, newest first
        Index("creator_profiles_newest", "tenant_id", "id", postgresql_where=text(LIVE)),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[UUID]
    external_id: Mapped[str | None]
    name: Mapped[str]
    name_key: Mapped[str]
    language: Mapped[str | None]
    categories: Mapped[list[str]] = mapped_column(server_default=NO_TEXTS)
    style: Mapped[str | None]
    default_tone: Mapped[str | None]
    persona: Mapped[str | None]
    catch_phrases: Mapped[list[str]] = mapped_column(server_default=NO_TEXTS)
    banned: Mapped[list[str]] = mapped_column(server_default=NO_TEXTS)
    brand_bans: Mapped[list[str]] = mapped_column(server_default=NO_TEXTS)
    policy_tags: Mapped[list[str]] = mapped_column(server_default=NO_TEXTS)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
    archived_at: Mapped[datetime | None]


class ProductProfile(Base):
    """A product: the facts that a script may state, and nothing beyond them.

    brand_bans: words that the brand forbids; compliance_tags: what the rules must look at, such as 特殊化妆品;
    extra: facts that no column holds. A product without a SKU is known by its name.
    """

    __tablename__ = "product_profiles"
    __table_args__ = (
        CheckConstraint("price >= 0 AND original_price >= price", name="product_profiles_prices_check"),
        Index(
            "product_profiles_by_sku",
            "tenant_id",
            "sku",
            unique=True,
            postgresql_where=text(f"sku IS NOT NULL AND {LIVE}"),
        ),
        Index(
            "product_profiles_by_name",
            "tenant_id",
            "name_key",
            unique=True,
            postgresql_where=text(f"sku IS NULL AND {LIVE}"),
        ),
        # the list, newest first; the look for names in a request
        Index("product_profiles_newest", "tenant_id", "id", postgresql_where=text(LIVE)),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[UUID]
    sku: Mapped[str | None]
    name: Mapped[str]
    name_key: Mapped[str]
    aliases: Mapped[list[str]] = mapped_column(server_default=NO_TEXTS)
    alias_keys: Mapped[list[str]] = mapped_column(server_default=NO_TEXTS)
    brand: Mapped[str | None]
    category: Mapped[str | None]
    language: Mapped[str | None]
    price: Mapped[Decimal | None] = mapped_column(Numeric(14, 2))
    original_price: Mapped[Decimal | None] = mapped_column(Numeric(14, 2))
    currency: Mapped[str | None]
    offer: Mapped[str | None]
    stock_note: Mapped[str | None]
    specification: Mapped[str | None]
    selling_points: Mapped[list[str]] = mapped_column(server_default=NO_TEXTS)
    ingredients: Mapped[list[str]] = mapped_column(server_default=NO_TEXTS)
    origin: Mapped[str | None]
    certifications: Mapped[list[str]] = mapped_column(server_default=NO_TEXTS)
    audience: Mapped[str | None]
    compliance_tags: Mapped[list[str]] = mapped_column(server_default=NO_TEXTS)
    brand_bans: Mapped[list[str]] = mapped_column(server_default=NO_TEXTS)
    extra: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
    archived_at: Mapped[datetime | None]
