"""The collector next to each consumer: nothing outside can reach a worker pool's instance to ask for its /metrics.

Google-Built OpenTelemetry Collector, deployed as Google documents for Cloud Run
(https://cloud.google.com/stackdriver/docs/instrumentation/opentelemetry-collector-cloud-run). Google's own Prometheus
sidecar would need no configuration, but it knows only services: GoogleCloudPlatform/run-gmp-sidecar takes its labels
from K_SERVICE, which a worker pool does not have; what adds worker pools (184a364) was in no release by 1.9.2
(013fd93), the newest when this was written.
"""

from typing import Any

import yaml

from infra.config import Settings

# A part of what Prometheus collects elsewhere: what rules and dashboards use, since every sample is billed.
_KEPT = "consumer_.*|process_(resident_memory_bytes|start_time_seconds)"


def configuration(settings: Settings, port: int) -> str:
    """What the collector does, as YAML. `port` is where the consumer serves /metrics in the same instance."""
    scrape = {
        "job_name": "consumer",
        "scrape_interval": "30s",
        "static_configs": [{"targets": [f"localhost:{port}"]}],
        "metric_relabel_configs": [{"source_labels": ["__name__"], "regex": _KEPT, "action": "keep"}],
    }
    # Cloud Monitoring tells series apart by these; each instance by the id that the metadata server gives it.
    place = {"location": settings.region, "cluster": "__run__", "namespace": f"{settings.name}-consumer"}
    instance = 'set(resource.attributes["service.instance.id"], resource.attributes["faas.instance"])'
    config = {
        "receivers": {"prometheus": {"config": {"scrape_configs": [scrape]}}},
        "processors": {
            "memory_limiter": {"check_interval": "1s", "limit_percentage": 65, "spike_limit_percentage": 20},
            "resourcedetection": {"detectors": ["gcp"], "timeout": "10s"},
            "resource": {
                "attributes": [{"key": key, "value": value, "action": "upsert"} for key, value in place.items()]
            },
            "transform": {"metric_statements": [{"context": "datapoint", "statements": [instance]}]},
            "batch": {"send_batch_max_size": 200, "send_batch_size": 200, "timeout": "5s"},
        },
        # Keep the names that the consumer serves.
        "exporters": {"googlemanagedprometheus": {"metric": {"add_metric_suffixes": False}}},
        "extensions": {"health_check": {"endpoint": "0.0.0.0:13133"}},
        "service": {
            "extensions": ["health_check"],
            "pipelines": {
                "metrics": {
                    "receivers": ["prometheus"],
                    "processors": ["memory_limiter", "resourcedetection", "resource", "transform", "batch"],
                    "exporters": ["googlemanagedprometheus"],
                }
            },
        },
    }
    return yaml.safe_dump(config, sort_keys=False)


def container(settings: Settings, port: int) -> Any:
    """The container; its configuration is a variable, which the collector's `env` provider reads: it is not secret."""
    return {
        "name": "collector",
        "image": settings.collector_image,
        "args": ["--config=env:OTELCOL_CONFIG"],
        "envs": [{"name": "OTELCOL_CONFIG", "value": configuration(settings, port)}],
        "resources": {"limits": {"cpu": "1", "memory": "512Mi"}},
    }
