"""The reference of the configuration, every key explained, and its schema for editors.

They are links into config/ in a checkout, and copies in an installed package.
"""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).parent
REFERENCE = _HERE / "reference.toml"
SCHEMA = _HERE / "schema.json"
