"""What is shipped for compose and Kubernetes, as far as it can be checked without either."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from detectd.settings.loader import load
from tests.support.paths import ROOT

PACKAGING = ROOT / "packaging"
COMPOSE, KUBERNETES = PACKAGING / "compose", PACKAGING / "kubernetes"
# The newest that the manifests are held against, and the oldest still common.
VERSIONS = ("1.37", "1.29")


def needs(there, what):
    """Skip if it is not there; under CI=true fail."""
    if not there:
        give_up = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        give_up(f"no {what} to test with")


def manifests():
    """Every object, as the files have it."""
    names = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())["resources"]
    return [yaml.safe_load((KUBERNETES / name).read_text()) for name in names]


def of_kind(kind):
    (found,) = (each for each in manifests() if each["kind"] == kind)
    return found


def container():
    (found,) = of_kind("StatefulSet")["spec"]["template"]["spec"]["containers"]
    return found


@pytest.fixture
def services():
    return yaml.safe_load((COMPOSE / "compose.yml").read_text())


@pytest.mark.parametrize("directory", [COMPOSE, KUBERNETES])
def test_the_configuration_is_sound_and_asks_for_a_token(directory):
    settings = load(directory / "detectd.toml")
    assert settings.server.listen == "0.0.0.0:9464"
    assert settings.server.token_file
    assert settings.models.directory.is_relative_to("/var/lib/detectd")


def test_every_file_that_compose_mounts_is_there(services):
    for service in services["services"].values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            named = source in services["volumes"]
            assert named or (COMPOSE / source).resolve().is_file(), source
    build = services["services"]["detectd"]["build"]
    assert (COMPOSE / build["context"] / build["dockerfile"]).is_file()


def test_compose_publishes_ports_on_this_host_alone(services):
    published = [port for each in services["services"].values() for port in each.get("ports", ())]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_the_token_is_where_compose_and_its_readers_look(services):
    secret = "/run/secrets/token"
    assert {name for name, each in services["services"].items() if "secrets" in each} == {
        "detectd",
        "prometheus",
    }
    assert str(load(COMPOSE / "detectd.toml").server.token_file) == secret
    (scrape,) = yaml.safe_load((COMPOSE / "prometheus.yml").read_text())["scrape_configs"]
    assert scrape["authorization"]["credentials_file"] == secret


def test_promtool_accepts_what_prometheus_is_given_by_compose(promtool, tmp_path):
    text = (COMPOSE / "prometheus.yml").read_text()
    (tmp_path / "token").write_text("s3cret")
    shutil.copy(PACKAGING.parent / "dashboards/alerts.yml", tmp_path)
    text = text.replace("/run/secrets/token", f"{tmp_path}/token")
    (tmp_path / "prometheus.yml").write_text(text.replace("/etc/prometheus/", f"{tmp_path}/"))
    done = subprocess.run(
        [promtool, "check", "config", tmp_path / "prometheus.yml"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rules found" in done.stdout


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_knows_every_field(version):
    try:
        import kubernetes_validate
    except ImportError:
        needs(False, "kubernetes-validate")
    for manifest in manifests():
        if manifest["kind"] != "PodMonitor":
            kubernetes_validate.validate(manifest, version, strict=True)


def test_kustomize_puts_the_configuration_into_a_map_that_the_pods_mount():
    kubectl = shutil.which("kubectl")
    needs(kubectl, "kubectl")
    done = subprocess.run([kubectl, "kustomize", KUBERNETES], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    objects = {each["kind"]: each for each in yaml.safe_load_all(done.stdout)}
    pod = objects["StatefulSet"]["spec"]["template"]["spec"]
    (mounted,) = (v["configMap"]["name"] for v in pod["volumes"] if "configMap" in v)
    assert mounted == objects["ConfigMap"]["metadata"]["name"]
    assert objects["ConfigMap"]["data"] == {
        "detectd.toml": (KUBERNETES / "detectd.toml").read_text()
    }


def test_pods_keep_their_place_in_the_group_and_their_state():
    settings, stateful = load(KUBERNETES / "detectd.toml"), of_kind("StatefulSet")["spec"]
    assert settings.kafka.static_membership
    (claim,) = stateful["volumeClaimTemplates"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container()["volumeMounts"]}
    assert mounts[claim["metadata"]["name"]] == "/var/lib/detectd"
    assert settings.server.token_file.parent == Path(mounts["token"])
    assert stateful["serviceName"] == of_kind("Service")["metadata"]["name"]
    # A service called detectd would set DETECTD_PORT and others, which are no settings.
    assert stateful["template"]["spec"]["enableServiceLinks"] is False


def test_probes_and_scrapes_ask_the_port_and_paths_that_there_are():
    (port,) = container()["ports"]
    listen = load(KUBERNETES / "detectd.toml").server.listen
    assert listen.endswith(f":{port['containerPort']}")
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        asked = container()[probe]["httpGet"]
        assert asked["port"] == port["name"]
        assert asked["path"] == ("/readyz" if probe == "readinessProbe" else "/healthz")
    monitor = of_kind("PodMonitor")["spec"]
    (endpoint,) = monitor["podMetricsEndpoints"]
    assert endpoint["port"] == port["name"]
    labels = of_kind("StatefulSet")["spec"]["template"]["metadata"]["labels"]
    assert monitor["selector"]["matchLabels"].items() <= labels.items()
