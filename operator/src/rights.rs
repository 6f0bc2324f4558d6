//! What the operator asks of the API server: the one list that `check` goes through. The chart grants it, operator/README.md
//! explains it; tests hold all three together.

/// Where a right is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In every namespace that is watched.
    Watched,
    /// Over the whole cluster; can be done without.
    Cluster,
    /// In the operator's own namespace, only with leader election. All but `create` are for the Lease's name alone.
    Own,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Right {
    pub group: &'static str,
    /// With its subresource: `medicaltrainings/status`.
    pub resource: &'static str,
    pub verbs: &'static [&'static str],
    pub scope: Scope,
}

const fn right(group: &'static str, resource: &'static str, verbs: &'static [&'static str], scope: Scope) -> Right {
    Right { group, resource, verbs, scope }
}

pub const RIGHTS: &[Right] = &[
    right("medtrain.io", "medicaltrainings", &["delete", "get", "list", "watch"], Scope::Watched),
    right("medtrain.io", "medicaltrainings/status", &["update"], Scope::Watched),
    right("medtrain.io", "medicaltrainings/finalizers", &["update"], Scope::Watched),
    right("batch", "jobs", &["create", "delete", "get", "list", "watch"], Scope::Watched),
    right("", "configmaps", &["create", "delete", "get", "list", "watch"], Scope::Watched),
    right("", "pods", &["delete", "list", "watch"], Scope::Watched),
    right("", "events", &["list"], Scope::Watched),
    right("events.k8s.io", "events", &["create", "patch"], Scope::Watched),
    right("", "nodes", &["get"], Scope::Cluster),
    right("coordination.k8s.io", "leases", &["create", "get", "update"], Scope::Own),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    type Granted = BTreeSet<(String, String, String)>;

    fn listed(wanted: impl Fn(Scope) -> bool) -> Granted {
        let rights = RIGHTS.iter().filter(|right| wanted(right.scope));
        rights
            .flat_map(|right| {
                right.verbs.iter().map(|verb| [right.group, right.resource, verb].map(str::to_string).into())
            })
            .collect()
    }

    #[test]
    fn the_chart_grants_these_rights_and_no_others() {
        let chart = include_str!("../../charts/medtrain/templates/rbac.yaml");
        let (_, rest) = chart.split_once("define \"medtrain.rules\" -}}").expect("the chart's rules");
        let (rules, _) = rest.split_once("{{- end -}}").expect("their end");
        let rules: Vec<Value> = serde_yaml::from_str(rules).unwrap();
        let texts = |rule: &Value, field: &str| -> Vec<String> {
            rule[field].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_string()).collect()
        };
        let mut granted = Granted::new();
        for rule in &rules {
            for group in texts(rule, "apiGroups") {
                for resource in texts(rule, "resources") {
                    granted
                        .extend(texts(rule, "verbs").into_iter().map(|verb| (group.clone(), resource.clone(), verb)));
                }
            }
        }
        assert_eq!(granted, listed(|scope| scope == Scope::Watched));
    }

    #[test]
    fn the_readme_lists_these_rights_and_no_others() {
        let mut explained = Granted::new();
        let rights = include_str!("../README.md").split_once("\n## Rights\n").unwrap().1;
        for line in rights.lines().filter(|line| line.starts_with("| ")).skip(1) {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let group = if cells[0] == "(core)" { "" } else { cells[0] };
            explained.extend(cells[2].split(", ").map(|verb| (group.into(), cells[1].to_string(), verb.to_string())));
        }
        assert_eq!(explained, listed(|_| true));
    }
}
