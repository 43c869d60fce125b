"""Prometheus reads its configuration and finds the service."""

import subprocess

from tests.deploy.files import ROOT, compose, read_yaml, tool


def test_the_configuration_is_valid() -> None:
    """promtool accepts prometheus.yml."""
    path = ROOT / "deploy/prometheus/prometheus.yml"
    done = subprocess.run(
        [tool("promtool"), "check", "config", path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_it_scrapes_every_variant_of_the_service() -> None:
    """The names it looks up are the services that compose builds, at the port they listen on."""
    jobs = read_yaml("deploy/prometheus/prometheus.yml")["scrape_configs"]
    (found,) = next(job for job in jobs if job["job_name"] == "croft")["dns_sd_configs"]
    built = {name: s for name, s in compose()["services"].items() if "build" in s}
    assert set(found["names"]) == set(built)
    assert {port.split(":")[-1] for s in built.values() for port in s["ports"]} == {
        str(found["port"])
    }


def test_grafana_reads_from_prometheus_at_its_scrape_interval() -> None:
    """The data source points at compose's Prometheus and knows how often it scrapes."""
    (source,) = read_yaml("deploy/grafana/provisioning/datasources/prometheus.yaml")["datasources"]
    prometheus = read_yaml("deploy/prometheus/prometheus.yml")
    assert source["url"] == "http://prometheus:9090"
    assert "prometheus" in compose()["services"]
    assert source["jsonData"]["timeInterval"] == prometheus["global"]["scrape_interval"]


def test_grafana_finds_the_dashboards_where_compose_mounts_them() -> None:
    """The provisioned folder and the home dashboard lie below a mount of the dashboards."""
    (provider,) = read_yaml("deploy/grafana/provisioning/dashboards/croft.yaml")["providers"]
    grafana = compose()["services"]["grafana"]
    folder = provider["options"]["path"]
    assert f"./deploy/grafana/dashboards:{folder}:ro" in grafana["volumes"]
    home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home.startswith(f"{folder}/")
    assert (ROOT / "deploy/grafana/dashboards" / home.removeprefix(f"{folder}/")).is_file()
