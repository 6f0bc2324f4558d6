"""Prometheus' configuration as the Prometheus operator would make it of the chart's monitors, but for where targets come
from: DIRECTORY, see discover.py. Run by start.sh.

    scrape.py RELEASE NAMESPACE DIRECTORY SECONDS
"""

import json
import re
import sys

from chart import find, helm, read_yaml, CHART, KUBE_VERSION


def snake(name):
    return re.sub(r"([A-Z])", lambda match: "_" + match.group(1).lower(), name)


def meta(label):
    return re.sub(r"[^a-zA-Z0-9_]", "_", label)


def keep(source, value):
    return {"source_labels": [source], "regex": re.escape(value), "action": "keep"}


def copy(source, target):
    return {"source_labels": [source], "target_label": target}


def job(monitor, role, directory, seconds):
    """`role`: `endpointslice` for a ServiceMonitor, `pod` for a PodMonitor."""
    spec = monitor["spec"]
    [endpoint] = spec["endpoints" if role == "endpointslice" else "podMetricsEndpoints"]
    owner = "service" if role == "endpointslice" else "pod"
    port = "endpointslice_port_name" if role == "endpointslice" else "pod_container_port_name"
    labels = spec["selector"]["matchLabels"].items()
    relabelings = [keep(f"__meta_kubernetes_{owner}_label_{meta(name)}", value) for name, value in labels]
    relabelings.append(keep(f"__meta_kubernetes_{port}", endpoint["port"]))
    relabelings += [copy("__meta_kubernetes_namespace", "namespace"), copy("__meta_kubernetes_pod_name", "pod")]
    relabelings += [{snake(name): value for name, value in one.items()} for one in endpoint.get("relabelings", [])]
    # A ServiceMonitor without namespaceSelector looks into its own namespace only, as discover.py does.
    discovery = {"files": [f"{directory}/{role}.json"], "refresh_interval": "5s"}
    return {
        "job_name": f"{monitor['kind']}/{monitor['metadata']['name']}",
        "metrics_path": endpoint["path"],
        "honor_labels": endpoint.get("honorLabels", False),
        "scrape_interval": f"{seconds}s",
        "scrape_timeout": f"{seconds}s",
        "file_sd_configs": [discovery],
        "relabel_configs": relabelings,
    }


def main(release, namespace, directory, seconds):
    done = helm(
        "template", release, CHART, "--namespace", namespace, "--kube-version", KUBE_VERSION,
        "--set", "monitoring.serviceMonitor.enabled=true,monitoring.podMonitor.enabled=true",
    )
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    objects = read_yaml(done.stdout)
    monitors = ((find(objects, "ServiceMonitor"), "endpointslice"), (find(objects, "PodMonitor"), "pod"))
    # JSON is YAML.
    print(json.dumps({"scrape_configs": [job(monitor, role, directory, seconds) for monitor, role in monitors]}))


if __name__ == "__main__":
    main(*sys.argv[1:])
