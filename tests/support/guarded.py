"""Ways into the shared broker that want to know who comes; one Java then serves all such tests.

A user of LOGIN may do what a test grants to it. Those of the other two listeners may do everything.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from kafka import KafkaAdminClient
from kafka.admin import UserScramCredentialUpsertion

from tests.support.certificates import PASSWORD, Authority

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.broker import Broker

LOGIN, SEALED, CERTIFICATE = "LOGIN", "SEALED", "CERTIFICATE"
GUARDS = {LOGIN: "SASL_PLAINTEXT", SEALED: "SASL_SSL", CERTIFICATE: "SSL"}

_MODULES = "org.apache.kafka.common.security"

USER = "detectd"
SECRET = "correct-horse-battery-staple"
SCRAM = ("SCRAM-SHA-256", "SCRAM-SHA-512")
MECHANISMS = ("PLAIN", *SCRAM, "OAUTHBEARER")

# Each with the password `secret`, and for one test file, as what is granted stays granted.
LIMITED = ("stranger", "looker", "granted")
ADMIN = {"sasl_plain_username": "admin", "sasl_plain_password": "admin", "sasl_mechanism": "PLAIN"}


def properties(trusted: Authority) -> dict[str, object]:
    """What the broker has to know."""
    limited = " ".join(f'user_{name}="secret"' for name in LIMITED)
    mighty = ("ANONYMOUS", "admin", USER, "CN=admin", f"CN={USER}")
    found: dict[str, object] = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": ";".join(f"User:{name}" for name in mighty),
        "listener.name.login.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.login.plain.sasl.jaas.config": _plain(limited),
        "listener.name.sealed.sasl.enabled.mechanisms": ",".join(MECHANISMS),
        "listener.name.sealed.plain.sasl.jaas.config": _plain(f'user_{USER}="{SECRET}"'),
        "listener.name.sealed.oauthbearer.sasl.jaas.config": (
            f"{_MODULES}.oauthbearer.OAuthBearerLoginModule required "
            'unsecuredLoginStringClaim_sub="broker";'
        ),
        "listener.name.certificate.ssl.client.auth": "required",
    }
    for mechanism in SCRAM:
        name = f"listener.name.sealed.{mechanism.lower()}.sasl.jaas.config"
        found[name] = f"{_MODULES}.scram.ScramLoginModule required;"
    store = {
        "keystore.type": "PKCS12",
        "keystore.location": trusted.store("broker"),
        "keystore.password": PASSWORD,
        "key.password": PASSWORD,
        "truststore.type": "PEM",
        "truststore.location": trusted.certificate,
    }
    for guard in ("sealed", "certificate"):
        found |= {f"listener.name.{guard}.ssl.{key}": value for key, value in store.items()}
    return found


def behind_login(broker: Broker) -> Broker:
    """The shared broker where it lets nobody but its admin do anything that is not granted."""
    return _behind(broker, LOGIN, ADMIN | {"security_protocol": GUARDS[LOGIN]})


def behind_seal(broker: Broker, trusted: Authority) -> Broker:
    """The shared broker behind TLS, where it takes every login there is."""
    tls = {"security_protocol": GUARDS[SEALED], "ssl_cafile": str(trusted.certificate)}
    sealed = _behind(broker, SEALED, ADMIN | tls)
    with closing(sealed.client(KafkaAdminClient)) as client:
        for mechanism in SCRAM:
            client.alter_user_scram_credentials(
                [UserScramCredentialUpsertion(USER, mechanism, SECRET)]
            )
    return sealed


def behind_certificate(broker: Broker, trusted: Authority) -> Broker:
    """The shared broker where it knows its clients by their certificates."""
    pem, key = trusted.signed("admin")
    tls = {
        "security_protocol": GUARDS[CERTIFICATE],
        "ssl_cafile": str(trusted.certificate),
        "ssl_certfile": str(pem),
        "ssl_keyfile": str(key),
        "ssl_password": PASSWORD,
    }
    return _behind(broker, CERTIFICATE, tls)


def _behind(broker: Broker, guard: str, options: Mapping[str, Any]) -> Broker:
    if not broker.pids:
        pytest.skip("only a broker of our own may have other rules")
    return broker.behind(guard, options)


def _plain(users: str) -> str:
    """Who may log in by PLAIN."""
    return f'{_MODULES}.plain.PlainLoginModule required user_admin="admin" {users};'
