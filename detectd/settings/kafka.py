"""The options of Kafka and of the schema registry."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from detectd.settings.types import Name, Seconds, SecretFile, Section, without_credentials

Broker = Annotated[Name, without_credentials("kafka.sasl_username and kafka.sasl_password_file")]
TokenUrl = Annotated[
    Name, without_credentials("kafka.sasl_client_id and kafka.sasl_client_secret_file")
]
RegistryUrl = Annotated[
    Name, without_credentials("schema_registry.username and schema_registry.password_file")
]


class KafkaSettings(Section):
    """The connection to the brokers, this process's identity, and the use of Kafka.

    Secrets are in files; a relative name is looked up in systemd's credentials directory first.
    """

    bootstrap_servers: Annotated[tuple[Broker, ...], Field(min_length=1)] = ("localhost:9092",)
    client: Literal["kafka-python", "confluent"] = "kafka-python"
    client_id: Name = "detectd"
    group_id: Name = "detectd"
    static_membership: bool = False
    transactional_id: Name | None = None
    delivery: Literal["exactly_once", "at_least_once"] = "exactly_once"
    auto_offset_reset: Literal["earliest", "latest"] = "earliest"
    preserve_partition: bool = False
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = "none"
    models_topic: Name | None = None

    create_topics: bool = False
    partitions: int | None = Field(default=None, ge=1)
    replication_factor: int | None = Field(default=None, ge=1)

    fetch_bytes: int = Field(default=32 << 20, ge=1 << 20)
    session_timeout_seconds: Seconds = 45.0
    max_poll_interval_seconds: Seconds = 300.0
    transaction_timeout_seconds: Seconds = 60.0
    retry_seconds: Seconds = 300.0

    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    ssl_ca_file: Path | None = None
    ssl_certificate_file: Path | None = None
    ssl_key_file: SecretFile | None = None
    ssl_key_password_file: SecretFile | None = None
    ssl_check_hostname: bool = True
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None = None
    sasl_username: Name | None = None
    sasl_password_file: SecretFile | None = None
    sasl_token_file: SecretFile | None = None
    sasl_token_url: TokenUrl | None = None
    sasl_client_id: Name | None = None
    sasl_client_secret_file: SecretFile | None = None
    sasl_scope: Name | None = None

    @model_validator(mode="after")
    def _times_fit(self) -> Self:
        if 2 * self.transaction_timeout_seconds > self.max_poll_interval_seconds:
            raise ValueError(
                "transaction_timeout_seconds must be at most half of max_poll_interval_seconds, "
                "or a slow commit gets the process removed from its group"
            )
        return self

    @model_validator(mode="after")
    def _login_is_whole(self) -> Self:
        tls, sasl = "SSL" in self.security_protocol, "SASL" in self.security_protocol
        if not tls and (self.ssl_ca_file or self.ssl_certificate_file or self.ssl_key_file):
            raise ValueError('ssl_* keys need security_protocol = "SSL" or "SASL_SSL"')
        if (self.ssl_certificate_file is None) != (self.ssl_key_file is None):
            raise ValueError("ssl_certificate_file and ssl_key_file go together; set both")
        if sasl != (self.sasl_mechanism is not None):
            raise ValueError(
                'sasl_mechanism goes with security_protocol = "SASL_SSL" or "SASL_PLAINTEXT"'
            )
        if sasl and self.sasl_mechanism != "OAUTHBEARER":
            if self.sasl_username is None or self.sasl_password_file is None:
                raise ValueError(
                    f"sasl_mechanism {self.sasl_mechanism} needs sasl_username, sasl_password_file"
                )
        elif sasl:
            self._require_one_source_of_tokens()
        return self

    def _require_one_source_of_tokens(self) -> None:
        grant = (self.sasl_token_url, self.sasl_client_id, self.sasl_client_secret_file)
        if (self.sasl_token_file is None) == (self.sasl_token_url is None):
            raise ValueError("OAUTHBEARER needs either sasl_token_file or sasl_token_url")
        if self.sasl_token_url is not None and None in grant:
            raise ValueError("sasl_token_url needs sasl_client_id and sasl_client_secret_file")
        if self.sasl_token_url:
            from detectd.http_client import is_address

            if not is_address(self.sasl_token_url):
                raise ValueError(
                    "sasl_token_url is not an http(s) address; write https://host/path"
                )


class SchemaRegistrySettings(Section):
    """The registry with the schemas of Avro records."""

    url: RegistryUrl | None = None
    username: Name | None = None
    password_file: SecretFile | None = None
    ca_file: Path | None = None

    @model_validator(mode="after")
    def _credentials_are_whole(self) -> Self:
        if (self.username is None) != (self.password_file is None):
            raise ValueError("username and password_file go together; set both or neither")
        return self
