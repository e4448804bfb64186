"""`detectd check --connect` against brokers that are good, guarded, and not there."""

from contextlib import closing

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ACL, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType

from tests.support.command import TOPICS
from tests.support.guarded import behind_login
from tests.support.kafka_service import settle

USER = "granted"


@pytest.fixture(scope="module")
def guarded(kafka_broker):
    """A broker that lets USER do only what it is granted."""
    return behind_login(kafka_broker)


def grant(broker, *rights):
    acls = [
        ACL(f"User:{USER}", "*", operation, ACLPermissionType.ALLOW, ResourcePattern(kind, name))
        for kind, name, operation in rights
    ]
    with closing(broker.client(KafkaAdminClient)) as admin:
        assert not admin.create_acls(acls)["failed"]


def rows(done):
    """What `check` printed of the cluster: (what, name) -> the rest of the row."""
    found = {}
    for line in done.stdout.splitlines():
        what, _, rest = line.partition("  ")
        name, _, rest = rest.strip().partition("  ")
        found[what, name] = rest.strip()
    return found


def test_a_good_cluster_is_a_table_without_failures(fitted, kafka_broker):
    source, *sinks = kafka_broker.create_topics("in", *TOPICS, partitions=3)
    settle(fitted, kafka_broker, source, dict(zip(TOPICS, sinks, strict=True)))
    done = fitted.run("check", "--connect")
    assert (done.returncode, done.stderr) == (0, "")
    found = rows(done)
    assert found["broker", kafka_broker.servers[0]].startswith("ok")
    assert found["reads", source] == "ok  3 partitions"
    for name in sinks:
        assert found["writes", name] == "ok  3 partitions, records up to 1,048,588 bytes"
    assert found["group", source].startswith("ok")
    # Nothing was made by looking.
    assert kafka_broker.committed_offsets(source) == {}


def test_rights_that_lack_are_named_and_gain_77(fitted, guarded):
    source, *sinks = guarded.create_topics("in", *TOPICS)
    settle(fitted, guarded, source, dict(zip(TOPICS, sinks, strict=True)))
    password = fitted.home / "password"
    password.write_text("secret")
    fitted.write(
        kafka={
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": "PLAIN",
            "sasl_username": USER,
            "sasl_password_file": str(password),
        }
    )
    topic, group = ResourceType.TOPIC, ResourceType.GROUP
    grant(
        guarded,
        (topic, source, ACLOperation.READ),
        (topic, sinks[0], ACLOperation.WRITE),
        (topic, sinks[1], ACLOperation.DESCRIBE),
        (group, source, ACLOperation.READ),
    )
    done = fitted.run("check", "--connect")
    assert done.returncode == 77
    assert len(done.stderr.splitlines()) == 1
    found = rows(done)
    assert found["reads", source].startswith("ok")
    assert found["writes", sinks[0]].startswith("WARNING")  # max.message.bytes is a right too
    assert "grant Write on topic" in found["writes", sinks[1]]
    assert "TopicAuthorizationFailed" in found["writes", sinks[2]]
    assert found["group", source].startswith("ok")
    password.write_text("wrong")
    done = fitted.run("check", "--connect")
    assert done.returncode == 77
    assert "rejects the login by PLAIN" in done.stdout
    assert "wrong" not in done.stdout + done.stderr


def test_missing_topics_and_brokers_are_told_apart(fitted, kafka_broker):
    (source,) = kafka_broker.create_topics("in")
    settle(fitted, kafka_broker, source, {topic: f"{source}.{topic}" for topic in TOPICS})
    done = fitted.run("check", "--connect")
    assert done.returncode == 78
    assert done.stdout.count("no such topic") == 4
    fitted.write(kafka={"create_topics": True})
    done = fitted.run("check", "--connect")
    assert done.returncode == 0
    assert done.stdout.count("will be created") == 4
    fitted.write(kafka={"bootstrap_servers": ["127.0.0.1:1"]})
    done = fitted.run("check", "--connect")
    assert done.returncode == 1
    assert "FAILED" in rows(done)["broker", "127.0.0.1:1"]
