"""Creators and products: what a client may say of them, and how they are shown."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from app.schemas.common import In, Out, Page, PageQuery, Time

MAX_EXTRA_BYTES = 16 * 1024
MAX_LIST = 50


def _one_line(value: Any) -> Any:
    """Names are typed and pasted: what is white space in any script becomes one space."""
    return " ".join(value.split()) if isinstance(value, str) else value


def _trimmed(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


def _visible(value: str) -> str:
    if not value.isprintable():
        raise ValueError("must hold visible characters only")
    return value


def _no_twins(values: list[str]) -> list[str]:
    return list(dict.fromkeys(values))


def _some(value: Any) -> Any:
    return [] if value is None else value


def _small(value: dict[str, Any]) -> dict[str, Any]:
    if len(json.dumps(value, ensure_ascii=False).encode()) > MAX_EXTRA_BYTES:
        raise ValueError(f"must not be larger than {MAX_EXTRA_BYTES} bytes")
    return value


Word = Annotated[str, BeforeValidator(_one_line), Field(min_length=1, max_length=200), AfterValidator(_visible)]
"""A name, code or label in one line."""

Prose = Annotated[str, BeforeValidator(_trimmed), Field(min_length=1, max_length=2000)]
"""Some sentences."""

Words = Annotated[list[Word], BeforeValidator(_some), Field(max_length=MAX_LIST), AfterValidator(_no_twins)]
"""A list of short texts; null empties it."""

Price = Annotated[Decimal, Field(ge=0, max_digits=14, decimal_places=2)]
Extra = Annotated[
    dict[Word, Any], BeforeValidator(lambda value: {} if value is None else value), AfterValidator(_small)
]
Spoken = Literal["zh", "en"]


def _words(description: str) -> Any:
    return Field(default_factory=list, description=description)


class CreatorFields(In):
    """What can be said of a creator beside the name."""

    external_id: Word | None = Field(None, description="your own key, unique among your creators")
    language: Spoken | None = Field(None, description="language of style and catch-phrases; null: any")
    categories: Words = _words("kinds of goods that the creator sells: codes of the lexicon, or free")
    style: Prose | None = Field(None, description="how the creator speaks")
    default_tone: Word | None = Field(None, description="such as 活泼 or lively, where a request names none")
    persona: Prose | None = Field(None, description="notes on who the creator is")
    catch_phrases: Words = _words("what the creator is known to say")
    banned: Words = _words("words that the creator never says")
    brand_bans: Words = _words("words that a brand's contract forbids, such as a rival's name")
    policy_tags: Words = _words("labels of brand policies")


class NewCreator(CreatorFields):
    """A creator to make, or to put in place of one; what is left out is empty."""

    name: Word = Field(description="unique among your creators, whatever the case")


class CreatorChanges(CreatorFields):
    """The fields of a creator that are to change; null empties a field."""

    name: Word = Field(default_factory=str)


class Creator(NewCreator):
    """A creator."""

    id: UUID
    created_at: Time
    updated_at: Time


class ProductFields(In):
    """What can be said of a product beside the name. A script states these facts, and no others."""

    sku: Word | None = Field(None, description="unique among your products; one without is known by its name")
    aliases: Words = _words("other names, by which a request may mean it")
    brand: Word | None = None
    category: Word | None = Field(None, description="code of the lexicon such as beauty, or free")
    language: Spoken | None = Field(None, description="language of the facts; null: any")
    price: Price | None = None
    original_price: Price | None = Field(None, description="the price before, never below `price`")
    currency: Word | None = Field(None, description="as it is said (元, dollars), or its ISO 4217 code")
    offer: Prose | None = Field(None, description="what comes with it today")
    stock_note: Prose | None = None
    specification: Prose | None = Field(None, description="such as 30毫升")
    selling_points: Words = _words("one fact each")
    ingredients: Words = _words("ingredients or materials")
    origin: Word | None = None
    certifications: Words = _words("what a document proves, such as a patent's number")
    audience: Prose | None = Field(None, description="whom it is for")
    compliance_tags: Words = _words("what the rules must look at, such as 特殊化妆品")
    brand_bans: Words = _words("words that the brand forbids")
    extra: Extra = Field(default_factory=dict, description="facts that no other field holds")

    @model_validator(mode="after")
    def _prices_agree(self) -> Self:
        if self.price is not None and self.original_price is not None and self.original_price < self.price:
            raise ValueError("original_price is below price")
        return self


class NewProduct(ProductFields):
    """A product to make, or to put in place of one; what is left out is empty."""

    name: Word


class ProductChanges(ProductFields):
    """The fields of a product that are to change; null empties a field."""

    name: Word = Field(default_factory=str)


class Product(NewProduct):
    """A product."""

    id: UUID
    price: float | None  # type: ignore[assignment]
    original_price: float | None  # type: ignore[assignment]
    created_at: Time
    updated_at: Time


class CatalogQuery(PageQuery):
    """Which creators or products."""

    q: str | None = Field(None, max_length=200, description="part of a name, an alias, a brand, a SKU or external id")
    category: str | None = Field(None, max_length=200, description="only of this category")
    language: Spoken | None = Field(None, description="only of this language")


class ImportQuery(In):
    """How a file is imported."""

    dry_run: bool = Field(False, description="only tell what would be done")


class WrongLine(Out):
    """One wrong field of one line of the file; the header is line 1."""

    line: int
    field: str
    message: str


class ImportReport(Out):
    """What became of a file's lines: new rows, changed rows, refused lines, and why those were refused."""

    imported: int
    updated: int
    failed: int
    errors: list[WrongLine]


CreatorPage = Page[Creator]
ProductPage = Page[Product]
