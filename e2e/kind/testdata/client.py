"""A pipeline that deploys by the official client of Kubernetes.

Usage: client.py NAMESPACE IMAGE. Prints one JSON object with what came of it.
"""

import json
import sys
import time

from kubernetes import client, config
from kubernetes.client.rest import ApiException

# It writes nothing that is not asked for, and gives up.
JOB_TIMEOUT = 120  # seconds


def pod_spec(image, **fields):
    container = client.V1Container(
        name="main",
        image=image,
        security_context=client.V1SecurityContext(
            allow_privilege_escalation=False,
            capabilities=client.V1Capabilities(drop=["ALL"]),
        ),
    )
    container.command = fields.pop("command", None)
    return client.V1PodSpec(containers=[container], **fields)


def template(name, spec):
    return client.V1PodTemplateSpec(metadata=client.V1ObjectMeta(labels={"app": name}), spec=spec)


def create_pod(core, namespace, image):
    name = "from-python"
    core.create_namespaced_pod(
        namespace, client.V1Pod(metadata=client.V1ObjectMeta(name=name), spec=pod_spec(image))
    )
    return core.read_namespaced_pod(name, namespace).spec.containers[0].image


def create_deployment(apps, namespace, image):
    name = "from-python"
    apps.create_namespaced_deployment(
        namespace,
        client.V1Deployment(
            metadata=client.V1ObjectMeta(name=name),
            spec=client.V1DeploymentSpec(
                selector=client.V1LabelSelector(match_labels={"app": name}),
                template=template(name, pod_spec(image)),
            ),
        ),
    )
    return apps.read_namespaced_deployment(name, namespace).spec.template.spec.containers[0].image


def refused(core, namespace, image):
    try:
        core.create_namespaced_pod(
            namespace,
            client.V1Pod(metadata=client.V1ObjectMeta(name="bad"), spec=pod_spec(image, host_network=True)),
        )
    except ApiException as refusal:
        body = json.loads(refusal.body)
        return {"status": refusal.status, "reason": refusal.reason, "message": body["message"]}
    return {}


def run_job(batch, namespace, image):
    name = "step-of-a-pipeline"
    spec = pod_spec(image, command=["/app", "once"], restart_policy="Never")
    batch.create_namespaced_job(
        namespace,
        client.V1Job(
            metadata=client.V1ObjectMeta(name=name),
            spec=client.V1JobSpec(template=template(name, spec), backoff_limit=0),
        ),
    )
    deadline = time.monotonic() + JOB_TIMEOUT
    while time.monotonic() < deadline:
        status = batch.read_namespaced_job(name, namespace).status
        if status.succeeded:
            return "succeeded"
        if status.failed:
            return "failed"
        time.sleep(0.5)
    return "late"


def main():
    namespace, image = sys.argv[1:]
    config.load_incluster_config()
    core = client.CoreV1Api()
    print(
        json.dumps(
            {
                "pod": create_pod(core, namespace, image),
                "deployment": create_deployment(client.AppsV1Api(), namespace, image),
                "refusal": refused(core, namespace, image),
                "job": run_job(client.BatchV1Api(), namespace, image),
            }
        )
    )


main()
