"""The chart on a real API server. Run by tests/chart/cluster/run.sh; the cluster must have no MedTrain."""

import json
import os
import pathlib
import subprocess
import time
import unittest

from chart import CHART, CI, ROOT, helm, read_yaml, template

FROZEN = sorted((ROOT / "tests/chart/frozen").glob("medtrain-*.tgz"))
SYSTEM = "medtrain-chart-test"
TENANTS = ("team-a", "team-b", "training", "system")
CRD = "medicaltrainings.medtrain.io"
# Seconds that a controller of the cluster may take.
PATIENCE = 90


def kubectl(*arguments, stdin=None, check=True):
    done = subprocess.run(["kubectl", *map(str, arguments)], input=stdin, capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise AssertionError(f"kubectl {' '.join(map(str, arguments))}: {done.stderr}")
    return done


def get(*arguments):
    return json.loads(kubectl("get", *arguments, "--output=json").stdout)


def run_helm(*arguments):
    done = helm(*arguments, "--namespace", SYSTEM)
    if done.returncode != 0:
        raise AssertionError(f"helm {' '.join(map(str, arguments))}: {done.stderr}")
    return done


def may(user, verb, resource, *arguments):
    """Whether RBAC lets `user` do it."""
    return kubectl("auth", "can-i", verb, resource, f"--as={user}", *arguments, check=False).stdout.strip() == "yes"


def eventually(condition, what):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {PATIENCE} s: {what}")
        time.sleep(0.5)


def established(definition):
    """Waits until the server serves the kind. `kubectl wait` fails where the definition has no status yet."""
    wait = ("wait", "--for=condition=Established", f"crd/{definition}", "--timeout=10s")
    eventually(lambda: kubectl(*wait, check=False).returncode == 0, f"{definition} is established")


def operator_image():
    """`--set` for the image of the operator, if the nodes have one."""
    image = os.environ.get("MEDTRAIN_E2E_OPERATOR_IMAGE", "")
    repository, _, tag = image.rpartition(":")
    return ("--set", f"image.repository={repository},image.tag={tag}") if image else ()


def fields(schema, path=""):
    """Paths of all fields of a structural schema."""
    found = set()
    for name, inner in schema.get("properties", {}).items():
        found |= {f"{path}.{name}"} | fields(inner, f"{path}.{name}")
    return found | (fields(schema["items"], f"{path}[]") if "items" in schema else set())


class Install(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        for namespace in (SYSTEM, *TENANTS):
            kubectl("create", "namespace", namespace, check=False)
        kubectl("label", "namespace", SYSTEM, "pod-security.kubernetes.io/enforce=restricted", "--overwrite")
        definitions = pathlib.Path(os.environ["PROMETHEUS_OPERATOR"]) / "example/prometheus-operator-crd"
        for kind in ("servicemonitors", "podmonitors", "prometheusrules"):
            kubectl("apply", "--server-side", "-f", definitions / f"monitoring.coreos.com_{kind}.yaml")
            established(f"{kind}.monitoring.coreos.com")

    def setUp(self):
        self.addCleanup(self.remove_everything)

    def remove_everything(self):
        for release in ("medtrain", "other"):
            helm("uninstall", release, "--namespace", SYSTEM, "--wait")
        kubectl("delete", "crd", CRD, "--ignore-not-found", "--timeout=60s")
        # Its rights went before the operator, so it could not give it back: the next one would wait until it runs out.
        kubectl("delete", "lease", "--all", "--namespace", SYSTEM)

    def create_training(self):
        """A suspended one, so that nothing runs; returns its UID."""
        annotations = read_yaml((CHART / "Chart.yaml").read_text())[0]["annotations"]
        [training] = read_yaml(annotations["artifacthub.io/crdsExamples"])[0]
        training["spec"]["suspend"] = True
        established(CRD)
        # The server tells its discovery a little later than it serves a new kind.
        create = ("create", "--namespace", SYSTEM, "-f", "-")
        eventually(
            lambda: kubectl(*create, stdin=json.dumps(training), check=False).returncode == 0,
            "a MedicalTraining can be created",
        )
        return self.uid_of_training()

    def uid_of_training(self):
        return get("mtrain", "first", "--namespace", SYSTEM)["metadata"]["uid"]

    def test_the_server_takes_every_object_of_every_values_file(self):
        for values in CI:
            done = template("--values", values)
            dry_run = ("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-")
            applied = kubectl(*dry_run, stdin=done.stdout, check=False)
            with self.subTest(values.name):
                self.assertEqual((applied.returncode, applied.stderr), (0, ""))

    def test_one_command_without_values_installs_and_the_notes_say_what_next(self):
        dry = run_helm("install", "medtrain", CHART, "--dry-run=server")
        self.assertIn("kind: Deployment", dry.stdout)
        notes = run_helm("install", "medtrain", CHART).stdout
        self.assertIn("kind: MedicalTraining", notes)
        eventually(
            lambda: get("deployment", "medtrain", "--namespace", SYSTEM)["status"].get("replicas") == 2,
            "Pod Security lets two pods in",
        )
        annotations = get("crd", CRD)["metadata"]["annotations"]
        self.assertEqual(annotations["helm.sh/resource-policy"], "keep")

    def test_an_upgrade_from_each_frozen_release_brings_the_definition_and_keeps_trainings(self):
        self.assertTrue(FROZEN, "no frozen release")
        for frozen in FROZEN:
            with self.subTest(frozen.name):
                run_helm("install", "medtrain", frozen)
                uid = self.create_training()
                run_helm("upgrade", "medtrain", CHART, "--values", CHART / "ci/monitored-values.yaml")
                self.assertEqual(self.uid_of_training(), uid)
                wanted = read_yaml((CHART / "files/medicaltrainings.yaml").read_text())[0]["spec"]["versions"]
                served = get("crd", CRD)["spec"]["versions"]
                self.assertEqual([v["name"] for v in served], [v["name"] for v in wanted])
                self.assertEqual(*(fields(versions[0]["schema"]["openAPIV3Schema"]) for versions in (served, wanted)))
                get("prometheusrule", "medtrain", "--namespace", SYSTEM)
                run_helm("rollback", "medtrain", "1")
                self.assertEqual(self.uid_of_training(), uid)
                self.remove_everything()

    def test_an_uninstall_keeps_trainings_and_a_new_install_finds_them(self):
        run_helm("install", "medtrain", CHART)
        uid = self.create_training()
        run_helm("uninstall", "medtrain", "--wait")
        left = kubectl(
            "get", "all,configmap,serviceaccount,role,rolebinding,networkpolicy,pdb,clusterrole,clusterrolebinding",
            "--namespace", SYSTEM, "--selector=app.kubernetes.io/instance=medtrain", "--output=name",
        ).stdout.split()
        # Pods may take their grace period.
        self.assertEqual([name for name in left if not name.startswith("pod/")], [])
        self.assertEqual(self.uid_of_training(), uid)
        run_helm("install", "medtrain", CHART)
        self.assertEqual(self.uid_of_training(), uid)

    def test_another_release_takes_the_kept_definition_over_only_when_told_to(self):
        run_helm("install", "medtrain", CHART)
        uid = self.create_training()
        run_helm("uninstall", "medtrain", "--wait")
        refused = helm("install", "other", CHART, "--namespace", SYSTEM)
        self.assertIn("invalid ownership metadata", refused.stderr)
        run_helm("install", "other", CHART, "--take-ownership")
        self.assertEqual(self.uid_of_training(), uid)

    def test_the_operator_reads_no_secret_and_writes_no_lease_but_its_own(self):
        run_helm("install", "medtrain", CHART)
        operator = f"system:serviceaccount:{SYSTEM}:medtrain"
        jobs = ("jobs.batch", "--namespace", "team-a")
        lease = ("leases.coordination.k8s.io/medtrain", "--namespace", SYSTEM)
        eventually(lambda: may(operator, "create", *jobs), "the operator may create Jobs")
        eventually(lambda: may(operator, "update", *lease), "the operator may renew its lease")
        for verb, resource in (
            ("get", "secrets"),
            ("create", "pods"),
            ("update", "jobs.batch"),
            ("update", "medicaltrainings.medtrain.io"),
            ("update", "leases.coordination.k8s.io/other"),
        ):
            self.assertFalse(may(operator, verb, resource, "--namespace", SYSTEM), f"{verb} {resource}")

    def test_with_named_namespaces_it_may_do_nothing_elsewhere(self):
        run_helm("install", "medtrain", CHART, "--values", CHART / "ci/namespaced-values.yaml")
        operator = f"system:serviceaccount:{SYSTEM}:medtrain"
        trainings = ("medicaltrainings.medtrain.io", "--namespace", "team-a")
        # The API server takes a moment to know of new bindings.
        eventually(lambda: may(operator, "list", *trainings), "the operator may list trainings in its namespace")
        for resource in ("medicaltrainings.medtrain.io", "jobs.batch", "pods"):
            self.assertFalse(may(operator, "list", resource, "--namespace", "training"), resource)
        self.assertFalse(may(operator, "list", "nodes"))

    def test_holders_of_view_and_edit_have_the_same_rights_over_trainings(self):
        run_helm("install", "medtrain", CHART)
        for role in ("view", "edit"):
            binding = (f"{role}ers", f"--clusterrole={role}", f"--user={role}er", "--namespace", "team-a")
            kubectl("create", "rolebinding", *binding, check=False)
        resource, place = "medicaltrainings.medtrain.io", ("--namespace", "team-a")
        eventually(lambda: may("editer", "create", resource, *place), "edit may create trainings")
        eventually(lambda: may("viewer", "list", resource, *place), "view may list trainings")
        self.assertFalse(may("viewer", "create", resource, *place))
        self.assertFalse(may("editer", "create", resource, "--namespace", "team-b"))

    @unittest.skipUnless(operator_image(), "MEDTRAIN_E2E_OPERATOR_IMAGE names no image of the operator")
    def test_the_operator_becomes_ready_and_helm_test_passes(self):
        run_helm("install", "medtrain", CHART, *operator_image(), "--wait", "--timeout=3m")
        run_helm("test", "medtrain", "--timeout=3m")

    @unittest.skipUnless(operator_image(), "MEDTRAIN_E2E_OPERATOR_IMAGE names no image of the operator")
    def test_helm_test_names_a_right_that_is_missing(self):
        run_helm("install", "medtrain", CHART, *operator_image(), "--wait", "--timeout=3m")
        role = get("clusterrole", "medtrain")
        role["rules"] = [rule for rule in role["rules"] if rule["resources"] != ["jobs"]]
        kubectl("replace", "-f", "-", stdin=json.dumps(role))
        check = ("test", "medtrain", "--namespace", SYSTEM, "--logs", "--timeout=3m")
        self.assertNotEqual((done := helm(*check)).returncode, 0, done.stdout)
        pods = ("--selector=batch.kubernetes.io/job-name=medtrain-check", "--namespace", SYSTEM)
        said = kubectl("logs", *pods, "--tail=-1").stdout
        self.assertIn("PROBLEM: may not create jobs.batch", said)

    @unittest.skipUnless(operator_image(), "MEDTRAIN_E2E_OPERATOR_IMAGE names no image of the operator")
    def test_with_named_namespaces_it_acts_there_and_nowhere_else_and_needs_no_right_beyond(self):
        only = ("--set", "watchNamespaces={team-a,team-b},rbac.nodes=false")
        run_helm("install", "medtrain", CHART, *operator_image(), *only, "--wait", "--timeout=3m")
        run_helm("test", "medtrain", "--timeout=3m")
        established(CRD)
        # An input that no stage has: the resolver says so, and nothing needs to run for it.
        wrong = {
            "apiVersion": "medtrain.io/v1alpha1",
            "kind": "MedicalTraining",
            "metadata": {"name": "wrong"},
            "spec": {
                "model": {"uri": "s3://models/base"},
                "output": {"uri": "s3://models/out"},
                "stages": [
                    {"name": "rm", "kind": "RM", "dataset": {"train": ["s3://data/rm.jsonl"]}},
                    {
                        "name": "sft",
                        "kind": "SFT",
                        "dataset": {"train": ["s3://data/sft.jsonl"]},
                        "inputs": {"policy": {"from": "rm"}},
                    },
                ],
            },
        }
        for namespace in ("team-a", "team-b", "training"):
            kubectl("create", "--namespace", namespace, "-f", "-", stdin=json.dumps(wrong))
        for namespace in ("team-a", "team-b"):
            wait = ("wait", "mtrain/wrong", "--namespace", namespace, "--for=condition=Accepted=False", "--timeout=60s")
            kubectl(*wait)
        self.assertNotIn("status", get("mtrain", "wrong", "--namespace", "training"))


if __name__ == "__main__":
    unittest.main()
