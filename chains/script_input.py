"""What the script skills accept: a wish in words with the fields that go along, and what a skill of its own adds."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

MOST_PRODUCTS = 200
MOST_CHARACTERS = 20_000
CHINESE_FROM = "\u3400"  # any letter from here on: the words that stand in for a missing wish are then Chinese

LISTS = frozenset(  # a product's facts that come in numbers; all others are one word or number
    {"aliases", "selling_points", "ingredients", "certifications", "compliance_tags", "banned", "brand_bans"}
)

Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Wording = Annotated[list[Words], Field(max_length=20)]


class ScriptInput(BaseModel):
    """Write what the query wishes for, or, in a session, do with earlier scripts what it says."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"query": "帮我写一段618美妆直播开场话术，活泼一点"}]}
    )

    query: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000)] = Field(
        description="what to write, in Chinese or English"
    )
    language: Literal["zh", "en"] | None = Field(None, description="language of the script (default: the query's)")
    creator_id: UUID | None = Field(None, description="who speaks: a creator of this tenant")
    influencer_name: Words | None = Field(None, description="who speaks, by name")
    product_id: UUID | None = Field(None, description="what is sold: a product of this tenant")
    product: Words | dict[str, Any] | None = Field(None, description="what is sold: its name, or its facts")
    category: Words | None = Field(None, description="kind of goods, such as 美妆 or beauty")
    scene: Words | None = Field(None, description="part of the show, such as 开场 or opening")
    tone: Words | None = Field(None, description="such as 活泼 or lively")
    length_seconds: int | None = Field(None, ge=5, le=600, description="how long the script is when spoken")
    platform: Words | None = Field(None, description="where it is streamed, such as 抖音 or TikTok")
    audience: Words | None = Field(None, description="whom it speaks to, such as 宝妈 or students")
    occasion: Words | None = Field(None, description="such as 618, 双11 or Black Friday")
    must_say: Wording | None = Field(None, description="what has to be said, word by word")
    must_not_say: Wording | None = Field(None, description="what must not be said")

    @field_validator("product")
    @classmethod
    def _product(cls, product: Any) -> Any:
        return sayable(product)


def sayable(product: Any) -> Any:
    """A product as it is; ValueError where one of its facts has a form that no sentence can say."""
    if isinstance(product, dict):
        for name, value in product.items():
            several = isinstance(value, list) and all(isinstance(one, str | int | float) for one in value)
            if name in LISTS and not (several or isinstance(value, str | None)):
                raise ValueError(f"{name}: give a list of words")
            if name not in LISTS and name != "extra" and isinstance(value, list | dict):
                raise ValueError(f"{name}: give one word or number")
            if name == "extra" and not isinstance(value, dict | None):
                raise ValueError("extra: give an object of facts by name")
    return product


class OfScript(ScriptInput):
    """A wish about a script that is there: given, of a run, or the session's newest."""

    script: (
        Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MOST_CHARACTERS)] | None
    ) = Field(None, description="the script itself, one part a line")
    run_id: UUID | None = Field(None, description="the run that wrote it (default: the session's newest script)")


class ModifyInput(OfScript):
    """Change a script as the query says, and keep the rest."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"query": "第二段短一点", "run_id": str(UUID(int=1))}]})


class ContinueInput(OfScript):
    """Write another one in the manner of a script, without saying the same again."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"query": "再来一段", "run_id": str(UUID(int=1))}]})

    @model_validator(mode="before")
    @classmethod
    def _query(cls, given: Any) -> Any:
        return wished(given, "再来一段", "One more like this, please")


class ShortenInput(OfScript):
    """Bring a script down to so many seconds; what it sells and what it costs stays."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"seconds": 30, "run_id": str(UUID(int=1))}]})

    seconds: int = Field(ge=5, le=600, description="how long it may be when spoken")

    @model_validator(mode="before")
    @classmethod
    def _query(cls, given: Any) -> Any:
        seconds = given.get("seconds") if isinstance(given, dict) else None
        return wished(given, f"缩短到{seconds}秒", f"Shorten it to {seconds} seconds")


class AdaptInput(OfScript):
    """Say a script as it is said on another platform."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"platform": "小红书", "run_id": str(UUID(int=1))}]})

    platform: Words = Field(description="where it is to be streamed")

    @model_validator(mode="before")
    @classmethod
    def _query(cls, given: Any) -> Any:
        platform = given.get("platform") if isinstance(given, dict) else None
        return wished(given, f"改成适合{platform}的版本", f"Adapt it to {platform}")


class BatchInput(ScriptInput):
    """One script for each of 1 to 200 products, in the same manner."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"query": "每个商品写一段30秒的讲解", "products": ["水润精华", "云朵枕"]}]}
    )

    products: list[Words | dict[str, Any]] = Field(
        min_length=1,
        max_length=MOST_PRODUCTS,
        description="ids of this tenant's products, names, or objects with facts",
    )

    @field_validator("products")
    @classmethod
    def _products(cls, products: list[Any]) -> list[Any]:
        return [sayable(product) for product in products]

    @model_validator(mode="before")
    @classmethod
    def _query(cls, given: Any) -> Any:
        return wished(given, "每个商品写一段话术", "Write a script for each product")


def wished(given: Any, chinese: str, english: str) -> Any:
    """The input with a wish in words where it has none: every later step reads a request in words."""
    if not isinstance(given, dict) or given.get("query"):
        return given
    text = f"{given.get('script') or ''}{given.get('platform') or ''}{given.get('products') or ''}"
    english_wanted = given.get("language") == "en" or (text and not any(letter >= CHINESE_FROM for letter in text))
    return {**given, "query": english if english_wanted else chinese}
