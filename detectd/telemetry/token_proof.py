"""How a client proves that it knows the token, and a service answers that it does, unsent.

client    GET /status
service   401, Detectd-Challenge: C
client    GET /status, Authorization: Detectd C N HMAC(token, client, place, C, N)
service   200, Detectd-Proof: HMAC(token, service, place, C, N, body)

C and N are random. A process that has taken the port learns neither the token nor anything that
another would accept: the place in the code is the port (or the path of the socket) that the client
connected to, and a service takes codes for its own alone. Neither can it invent an answer. Against
guesses only the token's length helps: let it be random, of 128 bits at least.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from detectd.telemetry.listen_address import Tcp, Unix

SCHEME = "detectd"
CHALLENGE_HEADER = "Detectd-Challenge"
PROOF_HEADER = "Detectd-Proof"

# From a challenge to its answer.
CHALLENGE_SECONDS = 10.0


class Exchange(NamedTuple):
    """What both sides know of one exchange; `place` is `place_of` the address."""

    token: bytes
    place: str
    challenge: str
    nonce: str

    def of_client(self) -> str:
        """Return what proves to the service that the client knows the token."""
        return self._code("client", b"")

    def of_service(self, body: bytes) -> str:
        """Return what proves to the client that `body` comes from one that knows the token."""
        return self._code("service", body)

    def authorization(self) -> str:
        """Return the value of the client's Authorization header."""
        return f"Detectd {self.challenge} {self.nonce} {self.of_client()}"

    def _code(self, side: str, body: bytes) -> str:
        digest = hashlib.sha256(body).hexdigest()
        parts = (side, self.place, self.challenge, self.nonce, digest)
        return hmac.new(self.token, "\n".join(parts).encode(), "sha256").hexdigest()


def place_of(address: Tcp | Unix, port: int) -> str:
    """Return what both sides call the address: its port, as the host has several names."""
    from detectd.telemetry.listen_address import Unix

    return f"unix:{address.path}" if isinstance(address, Unix) else f"port {port}"


def new_nonce() -> str:
    """Return a number that was never used before."""
    return secrets.token_hex(16)


class Challenges:
    """Challenges of one service, which it recognizes without keeping them. `clock` is monotonic."""

    def __init__(self, token: bytes, place: str, clock: Callable[[], float] = time.monotonic):
        self._token = token
        self._place = place
        self._clock = clock
        self._key = secrets.token_bytes(32)

    def issue(self) -> str:
        """Return a new challenge."""
        stated = f"{int(self._clock() * 1000):x}-{new_nonce()}"
        return f"{stated}-{self._seal(stated)}"

    def accept(self, credentials: str) -> Exchange | None:
        """Return the exchange if what comes after the scheme proves that the client may see."""
        words = credentials.split()
        if len(words) != 3 or not all(map(str.isascii, words)):
            return None
        challenge, nonce, code = words
        exchange = Exchange(self._token, self._place, challenge, nonce)
        ours = self._is_ours(challenge)
        return exchange if hmac.compare_digest(code, exchange.of_client()) and ours else None

    def _is_ours(self, challenge: str) -> bool:
        stated, _, seal = challenge.rpartition("-")
        if not hmac.compare_digest(seal, self._seal(stated)):
            return False
        issued = int(stated.partition("-")[0], 16) / 1000
        return self._clock() - issued <= CHALLENGE_SECONDS

    def _seal(self, stated: str) -> str:
        return hmac.new(self._key, stated.encode(), "sha256").hexdigest()
