"""What Prometheus' own discovery of Kubernetes would find, as files, again and again: Debian's Prometheus is built without
it. Run by start.sh.

    discover.py KUBECTL KUBECONFIG NAMESPACE DIRECTORY

Of endpoints, those of NAMESPACE, with the labels of their Service; of pods, all that run.
"""

import json
import os
import pathlib
import subprocess
import sys
import time

from scrape import meta

SECONDS = 2


def get(kubectl, *what):
    done = subprocess.run([*kubectl, "get", *what, "--output=json"], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["items"]


def labels(owner, of):
    found = of["metadata"].get("labels", {}).items()
    return {f"__meta_kubernetes_{owner}_label_{meta(name)}": value for name, value in found}


def pods(kubectl):
    for pod in get(kubectl, "pods", "--all-namespaces"):
        address = pod["status"].get("podIP")
        if not address or pod["status"]["phase"] != "Running":
            continue
        own = {
            "__meta_kubernetes_namespace": pod["metadata"]["namespace"],
            "__meta_kubernetes_pod_name": pod["metadata"]["name"],
            **labels("pod", pod),
        }
        for container in pod["spec"]["containers"]:
            for port in container.get("ports", []):
                name = {"__meta_kubernetes_pod_container_port_name": port.get("name", "")}
                yield {"targets": [f"{address}:{port['containerPort']}"], "labels": {**own, **name}}


def endpoints(kubectl, namespace):
    services = {one["metadata"]["name"]: one for one in get(kubectl, "services", "--namespace", namespace)}
    for part in get(kubectl, "endpointslices", "--namespace", namespace):
        service = services.get(part["metadata"]["labels"].get("kubernetes.io/service-name"))
        if service is None:
            continue
        for endpoint in part.get("endpoints") or []:
            own = {
                "__meta_kubernetes_namespace": namespace,
                "__meta_kubernetes_pod_name": endpoint.get("targetRef", {}).get("name", ""),
                **labels("service", service),
            }
            for port in part.get("ports") or []:
                name = {"__meta_kubernetes_endpointslice_port_name": port.get("name", "")}
                yield {"targets": [f"{endpoint['addresses'][0]}:{port['port']}"], "labels": {**own, **name}}


def write(path, targets):
    new = path.with_suffix(".new")
    new.write_text(json.dumps(list(targets)))
    os.replace(new, path)


def main(program, kubeconfig, namespace, directory):
    kubectl = [program, "--kubeconfig", kubeconfig]
    directory = pathlib.Path(directory)
    while True:
        try:
            write(directory / "pod.json", pods(kubectl))
            write(directory / "endpointslice.json", endpoints(kubectl, namespace))
        except subprocess.CalledProcessError as error:
            # The API server may be away for a while; that is what some scenarios are about.
            print(error.stderr, file=sys.stderr, flush=True)
        time.sleep(SECONDS)


if __name__ == "__main__":
    main(*sys.argv[1:])
