"""The recognisers by type: what finds a kind of thing in a text, and what stays readable of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from policy.pii import addresses, cards, names, network, papers, secrets, telephones
from policy.pii.scan import Scan, Span

STARS = "*******"


class Recogniser(NamedTuple):
    """find: the spans in a text; shown: what `mask` leaves of one."""

    find: Callable[[Scan], Iterator[Span]]
    shown: Callable[[str], str]


def all_stars(_found: str) -> str:
    """Nothing stays readable."""
    return STARS


TYPES: Mapping[str, Recogniser] = {
    "cn_mobile_phone": Recogniser(telephones.mobiles, telephones.shown_mobile),
    "cn_landline": Recogniser(telephones.landlines, telephones.shown_landline),
    "intl_phone": Recogniser(telephones.foreign, telephones.shown_foreign),
    "cn_id_card": Recogniser(cards.id_cards, cards.shown_id_card),
    "bank_card": Recogniser(cards.bank_cards, cards.shown_bank_card),
    "cn_plate": Recogniser(papers.plates, papers.shown_plate),
    "passport": Recogniser(papers.passports, papers.shown_passport),
    "address": Recogniser(addresses.addresses, addresses.shown_address),
    "cn_person_name": Recogniser(names.names, names.shown_name),
    "email": Recogniser(network.emails, network.shown_email),
    "ip_address": Recogniser(network.ip_addresses, network.shown_ip_address),
    "named_secret": Recogniser(secrets.values, all_stars),
    "bearer": Recogniser(secrets.bearers, all_stars),
    "url_credentials": Recogniser(secrets.url_credentials, all_stars),
}
