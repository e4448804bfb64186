"""An authority and what it signs, made with openssl for one test run."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PASSWORD = "key-password"


@dataclass(frozen=True)
class Authority:
    """Signs certificates in `home`; `certificate` is what others trust."""

    home: Path

    @property
    def certificate(self) -> Path:
        return self.home / "ca.pem"

    def signed(self, name: str, address: str = "127.0.0.1") -> tuple[Path, Path]:
        """A certificate for `name`, valid for one IP address, and its key with PASSWORD."""
        key, request, pem = (self.home / f"{name}.{end}" for end in ("key", "csr", "pem"))
        _openssl(
            "req", "-newkey", "rsa:2048", "-keyout", key, "-out", request,
            "-subj", f"/CN={name}", "-passout", f"pass:{PASSWORD}",
        )  # fmt: skip
        extension = self.home / f"{name}.ext"
        extension.write_text(f"subjectAltName=IP:{address}\n")
        _openssl(
            "x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.home / "ca.key",
            "-CAcreateserial", "-out", pem, "-days", 2, "-extfile", extension,
        )  # fmt: skip
        return pem, key

    def store(self, name: str, address: str = "127.0.0.1") -> Path:
        """As `signed`, in the one file that Java reads."""
        pem, key = self.signed(name, address)
        store = self.home / f"{name}.p12"
        _openssl(
            "pkcs12", "-export", "-in", pem, "-inkey", key, "-out", store,
            "-passin", f"pass:{PASSWORD}", "-passout", f"pass:{PASSWORD}",
        )  # fmt: skip
        return store


def authority(home: Path) -> Authority:
    """A new authority."""
    home.mkdir()
    _openssl(
        "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", home / "ca.key",
        "-out", home / "ca.pem", "-subj", "/CN=tests", "-days", 2,
    )  # fmt: skip
    return Authority(home)


def _openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
