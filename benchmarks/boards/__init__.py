"""The dashboards, drawn without Grafana: a real Prometheus, what is asked of it, the picture."""
