"""The registry client against a real registry."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from detectd.errors import ConfigError
from detectd.kafka.avro import Registry, reader
from tests.support import registry as registries
from tests.support.avro_records import error_of, record_of
from tests.support.registry import framed

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def apicurio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    try:
        with registries.apicurio(tmp_path_factory.mktemp("registry")) as url:
            yield url
    except registries.UnavailableError as missing:
        give_up = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        give_up(f"no schema registry to test with: {missing}")


def test_a_real_registry_gives_schemas_and_what_they_refer_to(apicurio: str) -> None:
    sea = record_of("w.Sea", depth=["null", "double"])
    ship = record_of("w.Ship", on="w.Sea", was_on="Sea")
    fleet = record_of("w.Fleet", ships={"type": "array", "items": "Ship"})
    first = registries.register(apicurio, "sea", sea)
    registries.register(apicurio, "ship", ship, ("w.Sea", "sea", 1))
    references = ("w.Ship", "ship", 1), ("w.Sea", "sea", 1)
    number = registries.register(apicurio, "fleet-value", fleet, *references)
    client = Registry(apicurio)
    client.check()
    read = reader(client)
    assert read(framed(first, b"\0")) == ({"depth": None}, b'{"depth":null}')
    _, text = read(framed(number, b"\x02\x00\x02\0\0\0\0\0\0\xf0\x3f\x00"))
    assert text == b'{"ships":[{"on":{"depth":null},"was_on":{"depth":1.0}}]}'
    assert error_of(read, framed(9999, b"")) == "schema 9999 is not in the registry"
    assert "no registry has a schema" in error_of(read, framed(2**31, b""))


def test_a_real_registry_at_another_path_is_none(apicurio: str) -> None:
    wrong = Registry(apicurio.removesuffix("/apis/ccompat/v7"))
    with pytest.raises(ConfigError, match="it is not a schema registry"):
        reader(wrong)(framed(7, b"\x02"))
    with pytest.raises(ConfigError, match="it is not a schema registry"):
        wrong.check()
