"""What the chart renders. Run by tests/chart/run.sh."""

import gzip
import json
import os
import unittest

from chart import CHART, CI, KUBE_VERSION, ROOT, find, helm, read_yaml, render, render_ci, template
from schema import Schemas


def pod_of(objects, kind="Deployment"):
    """The pod template of the Deployment, or of the Job of `helm test`."""
    return find(objects, kind)["spec"]["template"]


def selects(selector, labels):
    return all(labels.get(key) == value for key, value in selector.items())


class Rendering(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.schemas = Schemas(os.environ["KUBERNETES"], os.environ["PROMETHEUS_OPERATOR"])

    def test_every_object_of_every_values_file_fits_the_schema_of_its_kind(self):
        for values in [None, *CI]:
            for thing in render(*(["--values", values] if values else [])):
                with self.subTest(values=values and values.name, kind=thing["kind"], name=thing["metadata"]["name"]):
                    self.assertEqual(self.schemas.errors(thing), [])

    def test_the_schema_check_sees_a_typo_a_wrong_type_and_a_missing_field(self):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"nmae": "x"}, "spec": {"containers": [{"image": 1}]}}
        errors = " ".join(self.schemas.errors(pod))
        for part in (".metadata.nmae: no such field", "[0].image: 1 is no string", "[0].name: missing"):
            self.assertIn(part, errors)

    def test_lint_finds_nothing_with_any_values_file(self):
        for values in CI:
            done = helm("lint", CHART, "--strict", "--quiet", "--kube-version", KUBE_VERSION, "--values", values)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_no_object_is_rendered_twice(self):
        for values in CI:
            objects = [(o["kind"], o["metadata"]) for o in render("--values", values)]
            names = [(kind, metadata.get("namespace"), metadata["name"]) for kind, metadata in objects]
            self.assertEqual(len(names), len(set(names)), values.name)

    def test_a_cluster_without_the_prometheus_operator_takes_the_default_install(self):
        self.assertFalse([o["kind"] for o in render() if o["apiVersion"].startswith("monitoring.coreos.com")])

    def test_an_old_cluster_is_refused(self):
        done = helm("template", "release", CHART, "--kube-version", "1.32.9")
        self.assertIn(">=1.33.0", done.stderr)
        self.assertNotEqual(done.returncode, 0)

    def test_the_release_fits_the_secret_that_helm_keeps_it_in(self):
        files = "".join(path.read_text() for path in CHART.rglob("*") if path.is_file())
        rendered = template("--values", CHART / "ci" / "monitored-values.yaml").stdout
        # The secret holds base64 of the gzipped release, and at most 1 MiB; half of it leaves room to grow.
        self.assertLess(len(gzip.compress((files + rendered).encode())) * 4 / 3, 512 * 1024)

    def test_the_chart_and_its_images_carry_the_version_of_the_workspace(self):
        chart = read_yaml((CHART / "Chart.yaml").read_text())[0]
        workspace = (ROOT / "Cargo.toml").read_text().split("[workspace.package]\nversion = \"")[1].split('"')[0]
        self.assertEqual({chart["version"], chart["appVersion"]}, {workspace})
        self.assertEqual(chart["annotations"]["artifacthub.io/images"].count(f":{workspace}\n"), 2)


class Definition(unittest.TestCase):
    def test_the_chart_carries_the_generated_definition(self):
        generated = ROOT / "crds/generated/medicaltrainings.yaml"
        copied = CHART / "files/medicaltrainings.yaml"
        if not generated.exists():
            self.assertTrue(copied.read_text().startswith("# Placeholder"), "made from nothing")
        else:
            self.assertEqual(copied.read_bytes(), generated.read_bytes(), "run `make chart`")

    def test_it_is_rendered_as_generated_and_stays_after_an_uninstall(self):
        rendered = find(render(), "CustomResourceDefinition")
        generated = read_yaml((CHART / "files/medicaltrainings.yaml").read_text())[0]
        self.assertEqual(rendered["spec"], generated["spec"])
        self.assertEqual(rendered["metadata"]["annotations"], {"helm.sh/resource-policy": "keep"})
        removed = find(render("--set", "crds.keep=false"), "CustomResourceDefinition")
        self.assertNotIn("annotations", removed["metadata"])

    def test_it_can_be_left_to_others(self):
        self.assertFalse([o for o in render("--set", "crds.install=false") if o["kind"] == "CustomResourceDefinition"])


class Operator(unittest.TestCase):
    def test_two_replicas_with_an_election_are_spread_and_kept_from_a_drain(self):
        deployment = find(render(), "Deployment")["spec"]
        self.assertEqual(deployment["replicas"], 2)
        self.assertIn("--leader-election=true", deployment["template"]["spec"]["containers"][0]["args"])
        self.assertTrue(deployment["template"]["spec"]["topologySpreadConstraints"])
        self.assertEqual(find(render(), "PodDisruptionBudget")["spec"]["maxUnavailable"], 1)

    def test_two_replicas_without_an_election_are_refused(self):
        done = template("--set", "operator.leaderElection=false")
        self.assertIn("set replicaCount to 1 or leave the election on", done.stderr)
        self.assertNotEqual(done.returncode, 0)

    def test_one_replica_without_an_election_never_runs_beside_its_successor(self):
        self.assertEqual(find(render_ci("single"), "Deployment")["spec"]["strategy"], {"type": "Recreate"})

    def test_its_pods_pass_pod_security_restricted(self):
        for pod in (pod_of(render())["spec"], pod_of(render("--set", "tests.enabled=true"), "Job")["spec"]):
            self.assertTrue(pod["securityContext"]["runAsNonRoot"])
            self.assertEqual(pod["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
            container = pod["containers"][0]["securityContext"]
            self.assertEqual(container["capabilities"], {"drop": ["ALL"]})
            self.assertIs(container["allowPrivilegeEscalation"], False)
            self.assertIs(container["readOnlyRootFilesystem"], True)

    def test_a_new_configuration_restarts_it(self):
        checksums = {
            pod_of(render(*extra))["metadata"]["annotations"]["checksum/config"]
            for extra in ([], ["--set", "defaults.podTemplate.nodeSelector.pool=gpu"])
        }
        self.assertEqual(len(checksums), 2)

    def test_its_configuration_holds_the_defaults_and_the_allowed_accounts(self):
        config = find(render_ci("everything"), "ConfigMap", "med-config")["data"]["config.yaml"]
        read = read_yaml(config)[0]
        self.assertEqual(read["defaults"]["podTemplate"]["nodeSelector"], {"pool": "gpu"})
        self.assertEqual(read["serviceAccounts"], ["default", "trainer"])

    def test_a_digest_wins_over_a_tag(self):
        image = pod_of(render_ci("everything"))["spec"]["containers"][0]["image"]
        self.assertEqual(image, "medtrain/operator@sha256:" + "0" * 64)


class Rights(unittest.TestCase):
    def test_no_right_is_a_wildcard_and_none_reaches_secrets_or_exec(self):
        for values in CI:
            for role in render("--values", values):
                for rule in role.get("rules", []) if role["kind"] in ("Role", "ClusterRole") else []:
                    words = {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}
                    self.assertFalse(words & {"*", "secrets", "pods/exec", "escalate", "bind", "impersonate"}, role)

    def test_with_named_namespaces_every_right_is_a_namespace_s(self):
        objects = render_ci("namespaced")
        self.assertFalse([o for o in objects if o["kind"].startswith("ClusterRole")])
        roles = {(o["metadata"]["namespace"], o["metadata"]["name"]) for o in objects if o["kind"] == "Role"}
        name = "release-medtrain"
        self.assertEqual(roles, {("team-a", name), ("team-b", name), ("system", f"{name}-leader")})

    def test_every_binding_binds_a_role_that_is_there_to_the_operator(self):
        for values in [None, *CI]:
            objects = render(*(["--values", values] if values else []))
            account = pod_of(objects)["spec"]["serviceAccountName"]
            roles = {(o["kind"], o["metadata"].get("namespace"), o["metadata"]["name"]) for o in objects}
            for binding in (o for o in objects if o["kind"].endswith("RoleBinding")):
                target = binding["roleRef"]
                namespace = binding["metadata"].get("namespace")
                self.assertIn((target["kind"], namespace, target["name"]), roles)
                self.assertEqual(
                    binding["subjects"], [{"kind": "ServiceAccount", "name": account, "namespace": "system"}]
                )

    def test_the_cluster_s_own_roles_cover_trainings(self):
        for role in ("view", "edit", "admin"):
            labels = find(render(), "ClusterRole", f"release-medtrain-{role}")["metadata"]["labels"]
            self.assertEqual(labels[f"rbac.authorization.k8s.io/aggregate-to-{role}"], "true")
        self.assertEqual(
            find(render(), "ClusterRole", "release-medtrain-view")["rules"][0]["verbs"], ["get", "list", "watch"]
        )


class Network(unittest.TestCase):
    # As the operator labels the pods of a stage.
    STAGE = {
        "app.kubernetes.io/managed-by": "medtrain-operator",
        "app.kubernetes.io/name": "medtrain",
        "app.kubernetes.io/component": "stage",
    }

    def test_stage_pods_take_connections_on_9464_from_the_operator_and_prometheus_only(self):
        stages = [o for o in render_ci("namespaced") if o["metadata"]["name"] == "release-medtrain-stages"]
        self.assertEqual([o["metadata"]["namespace"] for o in stages], ["team-a", "team-b"])
        for policy in (o["spec"] for o in stages):
            self.assertTrue(selects(policy["podSelector"]["matchLabels"], self.STAGE))
            [rule] = policy["ingress"]
            self.assertEqual(rule["ports"], [{"port": 9464, "protocol": "TCP"}])
            operator, prometheus = rule["from"]
            self.assertTrue(
                selects(operator["podSelector"]["matchLabels"], pod_of(render_ci("namespaced"))["metadata"]["labels"])
            )
            self.assertEqual(
                operator["namespaceSelector"]["matchLabels"], {"kubernetes.io/metadata.name": "system"}
            )
            self.assertEqual(prometheus["podSelector"]["matchLabels"], {"app.kubernetes.io/name": "prometheus"})

    def test_egress_is_open_until_restricted_and_then_lets_dns_through(self):
        for policy in (o["spec"] for o in render() if o["kind"] == "NetworkPolicy"):
            self.assertEqual(policy["policyTypes"], ["Ingress"])
        for policy in (o["spec"] for o in render_ci("everything") if o["kind"] == "NetworkPolicy"):
            self.assertEqual(policy["policyTypes"], ["Ingress", "Egress"])
            self.assertIn({"port": 53, "protocol": "UDP"}, policy["egress"][0]["ports"])

    def test_the_test_pod_is_let_in_and_is_no_endpoint_of_the_service(self):
        labels = pod_of(render("--set", "tests.enabled=true"), "Job")["metadata"]["labels"]
        policy = find(render(), "NetworkPolicy", "release-medtrain")["spec"]
        self.assertTrue(selects(policy["ingress"][1]["from"][0]["podSelector"]["matchLabels"], labels))
        service = find(render(), "Service")["spec"]["selector"]
        self.assertFalse(selects(service, labels))
        self.assertTrue(selects(service, pod_of(render())["metadata"]["labels"]))


class Monitoring(unittest.TestCase):
    def test_monitors_select_what_the_chart_and_the_operator_label(self):
        objects = render_ci("monitored")
        service = find(objects, "Service")
        monitor = find(objects, "ServiceMonitor")["spec"]
        self.assertTrue(selects(monitor["selector"]["matchLabels"], service["metadata"]["labels"]))
        self.assertIn(monitor["endpoints"][0]["port"], [port["name"] for port in service["spec"]["ports"]])
        self.assertIs(monitor["endpoints"][0]["honorLabels"], True)
        pods = find(objects, "PodMonitor")["spec"]
        self.assertTrue(selects(pods["selector"]["matchLabels"], Network.STAGE))

    def test_labels_for_prometheus_selectors_reach_monitors_and_rules(self):
        for kind in ("ServiceMonitor", "PodMonitor", "PrometheusRule"):
            self.assertEqual(find(render_ci("monitored"), kind)["metadata"]["labels"]["release"], "prometheus")

    def test_the_dashboard_is_json_in_a_labelled_config_map(self):
        dashboard = find(render_ci("monitored"), "ConfigMap", "release-medtrain-dashboard")
        self.assertEqual(dashboard["metadata"]["labels"]["grafana_dashboard"], "1")
        self.assertEqual(json.loads(dashboard["data"]["medtrain.json"])["uid"], "medtrain")


class Values(unittest.TestCase):
    def test_a_typo_is_refused_with_its_place(self):
        for setting, message in {
            "image.repostory=x": "at '/image': additional properties 'repostory' not allowed",
            "replicas=3": "additional properties 'replicas' not allowed",
            "operator.concurrency=0": "at '/operator/concurrency': minimum: got 0, want 1",
            "operator.logFormat=xml": "at '/operator/logFormat': value must be one of 'json', 'text'",
            "watchNamespaces=team-a": "at '/watchNamespaces': got string, want array",
            "monitoring.rules.stalledAfter=soon": "at '/monitoring/rules/stalledAfter'",
            "image.digest=abc": "at '/image/digest'",
        }.items():
            done = template("--set", setting)
            self.assertNotEqual(done.returncode, 0, setting)
            self.assertIn(message, done.stderr)

    def test_every_value_has_a_schema_and_every_schema_a_value(self):
        schema = json.loads((CHART / "values.schema.json").read_text())
        values = read_yaml((CHART / "values.yaml").read_text())[0]

        def walk(value, part, path):
            part = schema["$defs"][part["$ref"].removeprefix("#/$defs/")] if "$ref" in part else part
            if "properties" not in part or not isinstance(value, dict):
                return
            # Empty maps of Kubernetes' own types are values as they are.
            known, given = set(part["properties"]) - {"global"}, set(value)
            if known - given and not given:
                return
            if path not in ("/resources",):
                self.assertEqual(known, given, path)
            for name in given:
                walk(value[name], part["properties"].get(name, {}), f"{path}/{name}")

        walk(values, schema, "")


if __name__ == "__main__":
    unittest.main()
