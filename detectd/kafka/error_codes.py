"""The meaning of each Kafka error for the service: one table for both clients, and one look-up.

A broker's errors have a number, which both clients know. Errors that a client raises by itself
stand beside them: librdkafka's have negative numbers, kafka-python's only the names of classes.

Sources: the error codes of Kafka's protocol (`org.apache.kafka.common.protocol.Errors`), and the
local errors of librdkafka (`rd_kafka_resp_err_t`).
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from detectd.extras import how_to_get

Code = int | str  # a number of the protocol or of librdkafka, or a class of kafka-python


class Kind(Enum):
    """How to handle an error."""

    PASSING = "wait and try again, for kafka.retry_seconds since the last commit"
    REVOKED = "the group continues without this process: reread the partitions it still owns"
    FENCED = "another process has the same id, or a transaction took too long: start again"
    RECORD = "the record's own: a dead letter of stage `deliver`"
    FAILED = "give up, exit 1: trying again may help"
    REFUSED = "give up, exit 77: the brokers deny access"
    CONFIG = "give up, exit 78: an operator must change something"


class Meaning(NamedTuple):
    """One row of the table; `fix` is how to fix it, if known."""

    code: Code
    name: str
    kind: Kind
    fix: str = ""


P, V, F = Kind.PASSING, Kind.REVOKED, Kind.FENCED
R, X, D, C = Kind.RECORD, Kind.FAILED, Kind.REFUSED, Kind.CONFIG

GRANT = "grant the right, or correct the credentials"
TOKEN = "renew the delegation token, or correct the credentials"  # noqa: S105 - advice, no secret
UPGRADE = "upgrade the brokers to Kafka 2.5 or later, or name brokers that are"
CONTROLLER = "name brokers in kafka.bootstrap_servers, not controllers"
OPTIONS = "correct the options"
SIZE = "raise max.message.bytes of the topic"
RETRY = "restart; if it happens again, check the brokers' logs"
METADATA = (
    "set offset.metadata.max.bytes of the brokers to its default of 4096 or more, because detectd "
    "keeps its state there"
)
INVALID = (
    "set cleanup.policy = delete if the record has no key, or raise message.timestamp.before.max.ms"
    " and message.timestamp.after.max.ms of the topic"
)
TIMESTAMP = (
    "raise message.timestamp.before.max.ms and message.timestamp.after.max.ms of the topic, or set "
    "its message.timestamp.type = LogAppendTime"
)

BROKERS = (
    Meaning(-1, "UNKNOWN_SERVER_ERROR", P, "check the brokers' logs"),
    Meaning(1, "OFFSET_OUT_OF_RANGE", P),
    Meaning(2, "CORRUPT_MESSAGE", P, "check the brokers' logs"),
    Meaning(3, "UNKNOWN_TOPIC_OR_PARTITION", P, "create the topic again if it was deleted"),
    Meaning(4, "INVALID_FETCH_SIZE", C, "raise kafka.fetch_bytes"),
    Meaning(5, "LEADER_NOT_AVAILABLE", P),
    Meaning(6, "NOT_LEADER_OR_FOLLOWER", P),
    Meaning(7, "REQUEST_TIMED_OUT", P),
    Meaning(8, "BROKER_NOT_AVAILABLE", P),
    Meaning(9, "REPLICA_NOT_AVAILABLE", P),
    Meaning(10, "MESSAGE_TOO_LARGE", R, SIZE),
    Meaning(11, "STALE_CONTROLLER_EPOCH", P),
    Meaning(12, "OFFSET_METADATA_TOO_LARGE", C, METADATA),
    Meaning(13, "NETWORK_EXCEPTION", P),
    Meaning(14, "COORDINATOR_LOAD_IN_PROGRESS", P),
    Meaning(15, "COORDINATOR_NOT_AVAILABLE", P),
    Meaning(16, "NOT_COORDINATOR", P),
    Meaning(17, "INVALID_TOPIC_EXCEPTION", C, "correct the name of the topic"),
    Meaning(18, "RECORD_LIST_TOO_LARGE", R, "raise segment.bytes of the topic"),
    Meaning(
        19, "NOT_ENOUGH_REPLICAS", P, "start brokers, or lower the topic's min.insync.replicas"
    ),
    Meaning(
        20,
        "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
        P,
        "start brokers, or lower the topic's min.insync.replicas",
    ),
    Meaning(21, "INVALID_REQUIRED_ACKS", X, RETRY),
    Meaning(22, "ILLEGAL_GENERATION", V),
    Meaning(
        23,
        "INCONSISTENT_GROUP_PROTOCOL",
        C,
        "the group's members assign partitions by another strategy; give this service a "
        "kafka.group_id of its own",
    ),
    Meaning(24, "INVALID_GROUP_ID", C, "correct kafka.group_id"),
    Meaning(25, "UNKNOWN_MEMBER_ID", V),
    Meaning(
        26,
        "INVALID_SESSION_TIMEOUT",
        C,
        "set kafka.session_timeout_seconds within what the brokers allow "
        "(group.min.session.timeout.ms, group.max.session.timeout.ms)",
    ),
    Meaning(27, "REBALANCE_IN_PROGRESS", V),
    Meaning(28, "INVALID_COMMIT_OFFSET_SIZE", C, METADATA),
    Meaning(29, "TOPIC_AUTHORIZATION_FAILED", D, GRANT),
    Meaning(30, "GROUP_AUTHORIZATION_FAILED", D, GRANT),
    Meaning(31, "CLUSTER_AUTHORIZATION_FAILED", D, GRANT),
    Meaning(32, "INVALID_TIMESTAMP", R, TIMESTAMP),
    Meaning(33, "UNSUPPORTED_SASL_MECHANISM", D, "correct kafka.sasl_mechanism"),
    Meaning(34, "ILLEGAL_SASL_STATE", D, "correct kafka.security_protocol"),
    Meaning(35, "UNSUPPORTED_VERSION", C, UPGRADE),
    Meaning(36, "TOPIC_ALREADY_EXISTS", P),
    Meaning(37, "INVALID_PARTITIONS", C, "correct kafka.partitions"),
    Meaning(38, "INVALID_REPLICATION_FACTOR", C, "correct kafka.replication_factor"),
    Meaning(39, "INVALID_REPLICA_ASSIGNMENT", C, "correct kafka.replication_factor"),
    Meaning(40, "INVALID_CONFIG", C, OPTIONS),
    Meaning(41, "NOT_CONTROLLER", P),
    Meaning(42, "INVALID_REQUEST", X, RETRY),
    Meaning(
        43,
        "UNSUPPORTED_FOR_MESSAGE_FORMAT",
        C,
        "set message.format.version of the topic to 0.11 or later, which transactions need",
    ),
    Meaning(44, "POLICY_VIOLATION", C, "create the topics according to the brokers' policy"),
    Meaning(45, "OUT_OF_ORDER_SEQUENCE_NUMBER", P),
    Meaning(46, "DUPLICATE_SEQUENCE_NUMBER", P),
    Meaning(47, "INVALID_PRODUCER_EPOCH", F),
    Meaning(48, "INVALID_TXN_STATE", P),
    Meaning(49, "INVALID_PRODUCER_ID_MAPPING", P),
    Meaning(
        50,
        "INVALID_TRANSACTION_TIMEOUT",
        C,
        "lower kafka.transaction_timeout_seconds, or raise the brokers' transaction.max.timeout.ms",
    ),
    Meaning(51, "CONCURRENT_TRANSACTIONS", P),
    Meaning(52, "TRANSACTION_COORDINATOR_FENCED", P),
    Meaning(53, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", D, GRANT),
    Meaning(54, "SECURITY_DISABLED", C, "set authorizer.class.name of the brokers"),
    Meaning(55, "OPERATION_NOT_ATTEMPTED", P),
    Meaning(56, "KAFKA_STORAGE_ERROR", P, "check the brokers' disks"),
    Meaning(57, "LOG_DIR_NOT_FOUND", P, "check the brokers' disks"),
    Meaning(58, "SASL_AUTHENTICATION_FAILED", D, GRANT),
    Meaning(59, "UNKNOWN_PRODUCER_ID", P),
    Meaning(60, "REASSIGNMENT_IN_PROGRESS", P),
    Meaning(61, "DELEGATION_TOKEN_AUTH_DISABLED", D, TOKEN),
    Meaning(62, "DELEGATION_TOKEN_NOT_FOUND", D, TOKEN),
    Meaning(63, "DELEGATION_TOKEN_OWNER_MISMATCH", D, TOKEN),
    Meaning(64, "DELEGATION_TOKEN_REQUEST_NOT_ALLOWED", D, TOKEN),
    Meaning(65, "DELEGATION_TOKEN_AUTHORIZATION_FAILED", D, TOKEN),
    Meaning(66, "DELEGATION_TOKEN_EXPIRED", D, TOKEN),
    Meaning(67, "INVALID_PRINCIPAL_TYPE", D, GRANT),
    Meaning(68, "NON_EMPTY_GROUP", X, RETRY),
    Meaning(69, "GROUP_ID_NOT_FOUND", P),
    Meaning(70, "FETCH_SESSION_ID_NOT_FOUND", P),
    Meaning(71, "INVALID_FETCH_SESSION_EPOCH", P),
    Meaning(72, "LISTENER_NOT_FOUND", P, "give every broker the listener that clients use"),
    Meaning(73, "TOPIC_DELETION_DISABLED", X, RETRY),
    Meaning(74, "FENCED_LEADER_EPOCH", P),
    Meaning(75, "UNKNOWN_LEADER_EPOCH", P),
    Meaning(76, "UNSUPPORTED_COMPRESSION_TYPE", C, "set another kafka.compression"),
    Meaning(77, "STALE_BROKER_EPOCH", P),
    Meaning(78, "OFFSET_NOT_AVAILABLE", P),
    Meaning(79, "MEMBER_ID_REQUIRED", V),
    Meaning(80, "PREFERRED_LEADER_NOT_AVAILABLE", P),
    Meaning(81, "GROUP_MAX_SIZE_REACHED", X, "stop members, or raise the brokers' group.max.size"),
    Meaning(82, "FENCED_INSTANCE_ID", F),
    Meaning(83, "ELIGIBLE_LEADERS_NOT_AVAILABLE", P),
    Meaning(84, "ELECTION_NOT_NEEDED", P),
    Meaning(85, "NO_REASSIGNMENT_IN_PROGRESS", P),
    Meaning(86, "GROUP_SUBSCRIBED_TO_TOPIC", X, RETRY),
    Meaning(87, "INVALID_RECORD", R, INVALID),
    Meaning(88, "UNSTABLE_OFFSET_COMMIT", P),
    Meaning(89, "THROTTLING_QUOTA_EXCEEDED", P),
    Meaning(90, "PRODUCER_FENCED", F),
    Meaning(91, "RESOURCE_NOT_FOUND", X, RETRY),
    Meaning(92, "DUPLICATE_RESOURCE", X, RETRY),
    Meaning(93, "UNACCEPTABLE_CREDENTIAL", D, GRANT),
    Meaning(94, "INCONSISTENT_VOTER_SET", X, RETRY),
    Meaning(95, "INVALID_UPDATE_VERSION", X, RETRY),
    Meaning(96, "FEATURE_UPDATE_FAILED", X, RETRY),
    Meaning(97, "PRINCIPAL_DESERIALIZATION_FAILURE", D, GRANT),
    Meaning(98, "SNAPSHOT_NOT_FOUND", X, RETRY),
    Meaning(99, "POSITION_OUT_OF_RANGE", X, RETRY),
    Meaning(100, "UNKNOWN_TOPIC_ID", P),
    Meaning(101, "DUPLICATE_BROKER_REGISTRATION", X, RETRY),
    Meaning(102, "BROKER_ID_NOT_REGISTERED", X, RETRY),
    Meaning(103, "INCONSISTENT_TOPIC_ID", P),
    Meaning(104, "INCONSISTENT_CLUSTER_ID", C, "name brokers of one cluster"),
    Meaning(105, "TRANSACTIONAL_ID_NOT_FOUND", P),
    Meaning(106, "FETCH_SESSION_TOPIC_ID_ERROR", P),
    Meaning(107, "INELIGIBLE_REPLICA", P),
    Meaning(108, "NEW_LEADER_ELECTED", P),
    Meaning(109, "OFFSET_MOVED_TO_TIERED_STORAGE", P),
    Meaning(110, "FENCED_MEMBER_EPOCH", V),
    Meaning(111, "UNRELEASED_INSTANCE_ID", P),
    Meaning(112, "UNSUPPORTED_ASSIGNOR", C, "give this service a kafka.group_id of its own"),
    Meaning(113, "STALE_MEMBER_EPOCH", V),
    Meaning(114, "MISMATCHED_ENDPOINT_TYPE", C, CONTROLLER),
    Meaning(115, "UNSUPPORTED_ENDPOINT_TYPE", C, CONTROLLER),
    Meaning(116, "UNKNOWN_CONTROLLER_ID", P),
    Meaning(117, "UNKNOWN_SUBSCRIPTION_ID", P),
    Meaning(118, "TELEMETRY_TOO_LARGE", P),
    Meaning(119, "INVALID_REGISTRATION", X, RETRY),
    Meaning(120, "TRANSACTION_ABORTABLE", P),
    Meaning(121, "INVALID_RECORD_STATE", X, RETRY),
    Meaning(122, "SHARE_SESSION_NOT_FOUND", X, RETRY),
    Meaning(123, "INVALID_SHARE_SESSION_EPOCH", X, RETRY),
    Meaning(124, "FENCED_STATE_EPOCH", X, RETRY),
    Meaning(125, "INVALID_VOTER_KEY", X, RETRY),
    Meaning(126, "DUPLICATE_VOTER", X, RETRY),
    Meaning(127, "VOTER_NOT_FOUND", X, RETRY),
    Meaning(128, "INVALID_REGULAR_EXPRESSION", C, "correct source.topics"),
    Meaning(129, "REBOOTSTRAP_REQUIRED", P),
    Meaning(130, "STREAMS_INVALID_TOPOLOGY", X, RETRY),
    Meaning(131, "STREAMS_INVALID_TOPOLOGY_EPOCH", X, RETRY),
    Meaning(132, "STREAMS_TOPOLOGY_FENCED", X, RETRY),
    Meaning(133, "SHARE_SESSION_LIMIT_REACHED", X, RETRY),
)

LIBRDKAFKA = (
    Meaning(-199, "_BAD_MSG", P),
    Meaning(
        -198, "_BAD_COMPRESSION", X, "find the record that its producer compressed incorrectly"
    ),
    Meaning(-197, "_DESTROY", P),
    Meaning(-196, "_FAIL", P),
    Meaning(-195, "_TRANSPORT", P),
    Meaning(-194, "_CRIT_SYS_RESOURCE", X, "free memory, or raise the limits of the process"),
    Meaning(-193, "_RESOLVE", P, "correct the brokers' names, or this host's DNS"),
    Meaning(-192, "_MSG_TIMED_OUT", P),
    Meaning(-191, "_PARTITION_EOF", P),
    Meaning(-190, "_UNKNOWN_PARTITION", P),
    Meaning(-189, "_FS", X, RETRY),
    Meaning(-188, "_UNKNOWN_TOPIC", P, "create the topic again if it was deleted"),
    Meaning(-187, "_ALL_BROKERS_DOWN", P),
    Meaning(-186, "_INVALID_ARG", C, OPTIONS),
    Meaning(-185, "_TIMED_OUT", P),
    Meaning(-184, "_QUEUE_FULL", P),
    Meaning(-183, "_ISR_INSUFF", P),
    Meaning(-182, "_NODE_UPDATE", P),
    Meaning(-181, "_SSL", P, "correct kafka.ssl_ca_file, or the certificates of the brokers"),
    Meaning(-180, "_WAIT_COORD", P),
    Meaning(-179, "_UNKNOWN_GROUP", P),
    Meaning(-178, "_IN_PROGRESS", P),
    Meaning(-177, "_PREV_IN_PROGRESS", P),
    Meaning(-176, "_EXISTING_SUBSCRIPTION", P),
    Meaning(-175, "_ASSIGN_PARTITIONS", P),
    Meaning(-174, "_REVOKE_PARTITIONS", P),
    Meaning(-173, "_CONFLICT", P),
    Meaning(-172, "_STATE", P),
    Meaning(-171, "_UNKNOWN_PROTOCOL", C, UPGRADE),
    Meaning(-170, "_NOT_IMPLEMENTED", C, 'set kafka.client = "kafka-python"'),
    Meaning(-169, "_AUTHENTICATION", D, GRANT),
    Meaning(-168, "_NO_OFFSET", P),
    Meaning(-167, "_OUTDATED", P),
    Meaning(-166, "_TIMED_OUT_QUEUE", P),
    Meaning(-165, "_UNSUPPORTED_FEATURE", C, UPGRADE),
    Meaning(-164, "_WAIT_CACHE", P),
    Meaning(-163, "_INTR", P),
    Meaning(-162, "_KEY_SERIALIZATION", X, RETRY),
    Meaning(-161, "_VALUE_SERIALIZATION", X, RETRY),
    Meaning(-160, "_KEY_DESERIALIZATION", X, RETRY),
    Meaning(-159, "_VALUE_DESERIALIZATION", X, RETRY),
    Meaning(-158, "_PARTIAL", P),
    Meaning(-157, "_READ_ONLY", X, RETRY),
    Meaning(-156, "_NOENT", P),
    Meaning(-155, "_UNDERFLOW", P),
    Meaning(-154, "_INVALID_TYPE", X, RETRY),
    Meaning(-153, "_RETRY", P),
    Meaning(-152, "_PURGE_QUEUE", P),
    Meaning(-151, "_PURGE_INFLIGHT", P),
    Meaning(-150, "_FATAL", P),
    Meaning(-149, "_INCONSISTENT", P),
    Meaning(-148, "_GAPLESS_GUARANTEE", P),
    Meaning(-147, "_MAX_POLL_EXCEEDED", V),
    Meaning(-146, "_UNKNOWN_BROKER", P),
    Meaning(-145, "_NOT_CONFIGURED", C, OPTIONS),
    Meaning(-144, "_FENCED", F),
    Meaning(-143, "_APPLICATION", X, RETRY),
    Meaning(-142, "_ASSIGNMENT_LOST", V),
    Meaning(-141, "_NOOP", P),
    Meaning(-140, "_AUTO_OFFSET_RESET", P),
    Meaning(-139, "_LOG_TRUNCATION", P),
    # in the same batch as a refused one
    Meaning(-138, "_INVALID_DIFFERENT_RECORD", P),
    Meaning(-137, "_DESTROY_BROKER", P),
)

KAFKA_PYTHON = (
    Meaning("AuthorizationError", "AuthorizationError", D, GRANT),
    Meaning("BrokerResponseError", "BrokerResponseError", P),
    Meaning("Cancelled", "Cancelled", P),
    Meaning("CommitFailedError", "CommitFailedError", V),
    Meaning("CorrelationIdError", "CorrelationIdError", P),
    Meaning("IllegalArgumentError", "IllegalArgumentError", X, RETRY),
    Meaning("IllegalStateError", "IllegalStateError", P),
    Meaning("InvalidMetadataError", "InvalidMetadataError", P),
    Meaning("InvalidReceiveError", "InvalidReceiveError", P),
    Meaning("KafkaConfigurationError", "KafkaConfigurationError", C, OPTIONS),
    Meaning("KafkaConnectionError", "KafkaConnectionError", P),
    Meaning("KafkaError", "KafkaError", P),
    Meaning("KafkaProtocolError", "KafkaProtocolError", P),
    Meaning("KafkaTimeoutError", "KafkaTimeoutError", P),
    Meaning("LogTruncationError", "LogTruncationError", P),
    Meaning("MetadataEmptyBrokerList", "MetadataEmptyBrokerList", P),
    Meaning("NoOffsetForPartitionError", "NoOffsetForPartitionError", P),
    Meaning("NodeNotReadyError", "NodeNotReadyError", P),
    Meaning("QuotaViolationError", "QuotaViolationError", P),
    Meaning("RecordTooLargeError", "RecordTooLargeError", C, "raise kafka.fetch_bytes"),
    Meaning("RetriableError", "RetriableError", P),
    Meaning("StaleMetadata", "StaleMetadata", P),
    Meaning("TooManyInFlightRequests", "TooManyInFlightRequests", P),
    Meaning("TransactionAbortedError", "TransactionAbortedError", P),
    Meaning("UnknownBrokerIdError", "UnknownBrokerIdError", P),
    Meaning("UnrecognizedBrokerVersion", "UnrecognizedBrokerVersion", C, UPGRADE),
    Meaning(
        "UnsupportedCodecError",
        "UnsupportedCodecError",
        C,
        f"install the codecs: {how_to_get('codecs')}",
    ),
)

TABLE: dict[Code, Meaning] = {row.code: row for row in (*BROKERS, *LIBRDKAFKA, *KAFKA_PYTHON)}


def meaning(code: Code, name: str) -> Meaning:
    """Return the error's meaning. An unknown one counts as temporary, under its `name`."""
    return TABLE.get(code) or Meaning(code, name, Kind.PASSING)
