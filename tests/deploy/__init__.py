"""Tests of what runs the service: containers, Prometheus, Grafana."""
