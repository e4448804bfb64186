"""Pieces of an output's JSON: bytes as text, the key, and the end of a value."""

from __future__ import annotations

import base64
from functools import lru_cache

import msgspec

from detectd.pipeline import memory_budget

to_json = msgspec.json.Encoder().encode


def as_text(raw: bytes) -> tuple[str, str]:
    """Return bytes as text for JSON, and the name of their encoding."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return base64.b64encode(raw).decode(), "base64"
    if len(raw) >= memory_budget.ESCAPED_BYTES and memory_budget.escaped(raw) > 1.5 * len(raw):
        return base64.b64encode(raw).decode(), "base64"
    return text, "utf-8"


def end(key: bytes | None, timestamp_ms: int | None, imputed: tuple[str, ...] = ()) -> bytes:
    """Return the end of a value, after the event or the raw record."""
    if key is None and timestamp_ms is None and not imputed:
        return b"}"
    start = b',"imputed":%b' % to_json(imputed) if imputed else b""
    named = b"" if key is None else _key(key)
    return start + named + (b"}" if timestamp_ms is None else b',"timestamp":%d}' % timestamp_ms)


def _key(key: bytes) -> bytes:
    """Return the key as a field of JSON."""
    return _known_key(key) if len(key) <= memory_budget.CACHED_KEY_BYTES else _key_field(key)


def _key_field(key: bytes) -> bytes:
    text, encoding = as_text(key)
    return (b',"key":' if encoding == "utf-8" else b',"key_base64":') + to_json(text)


_known_key = lru_cache(memory_budget.CACHED_KEYS)(_key_field)  # keys repeat
