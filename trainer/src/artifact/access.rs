//! Which entry of `spec.storage` a URI belongs to, and what that means for reaching its store.
//!
//! Holds: the longest prefix wins; credentials of one entry never reach the store of another.

use std::{collections::BTreeMap, path::PathBuf};

use medtrain_crds::contract::{StoreAccess, pod};
use medtrain_crds::training::StorageSpec;

use super::StoreOptions;

/// How every store of a run is reached.
#[derive(Clone, Debug, Default)]
pub struct Access {
    entries: Vec<StoreAccess>,
    /// Variables of entry i, without their prefix; empty outside of pods.
    credentials: Vec<BTreeMap<String, String>>,
}

impl Access {
    /// On a machine of one's own: endpoints and regions of the resource, credentials of the environment.
    pub fn local(storage: &[StorageSpec]) -> Self {
        let entry = |spec: &StorageSpec| StoreAccess {
            uri_prefix: spec.uri_prefix.clone(),
            endpoint: spec.endpoint.clone(),
            region: spec.region.clone(),
            ca_file: None,
        };
        Self { entries: storage.iter().map(entry).collect(), credentials: Vec::new() }
    }

    /// In a pod: entry i has the variables under [`pod::env::store_prefix`], or none (the pod's own identity counts).
    pub fn in_pod(entries: Vec<StoreAccess>) -> Self {
        let environment = std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
        Self::with_environment(entries, &environment.collect::<Vec<_>>())
    }

    fn with_environment(entries: Vec<StoreAccess>, environment: &[(String, String)]) -> Self {
        let of = |index: usize| {
            let prefix = pod::env::store_prefix(index);
            let own = environment.iter().filter_map(|(name, value)| Some((name.strip_prefix(&prefix)?, value)));
            own.map(|(name, value)| (name.to_owned(), value.clone())).collect()
        };
        Self { credentials: (0..entries.len()).map(of).collect(), entries }
    }

    /// Whether the environment holds anything for entry `index`.
    pub fn has_credentials(&self, index: usize) -> bool {
        self.credentials.get(index).is_some_and(|own| !own.is_empty())
    }

    /// What the resource says of the store of `uri`. An endpoint that it spells `http://` is meant so.
    pub fn options(&self, uri: &str) -> StoreOptions {
        let mut options = StoreOptions::default();
        let fitting = self.entries.iter().enumerate().filter(|(_, entry)| uri.starts_with(&entry.uri_prefix));
        let Some((index, entry)) = fitting.max_by_key(|(_, entry)| entry.uri_prefix.len()) else { return options };
        let mut set = |name: &str, value: &str| options.settings.insert(name.to_owned(), value.to_owned());
        if let Some(endpoint) = &entry.endpoint {
            set("endpoint", endpoint);
            if endpoint.starts_with("http://") {
                set("allow_http", "true");
            }
        }
        if let Some(region) = &entry.region {
            set("region", region);
        }
        options.credentials = self.credentials.get(index).cloned().unwrap_or_default();
        options.ca_file = entry.ca_file.as_ref().map(PathBuf::from);
        options.entry = Some(format!("storage[{index}] (uriPrefix {})", entry.uri_prefix));
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(prefix: &str, endpoint: Option<&str>) -> StoreAccess {
        let endpoint = endpoint.map(str::to_owned);
        StoreAccess { uri_prefix: prefix.to_owned(), endpoint, region: None, ca_file: Some("/ca".to_owned()) }
    }

    #[test]
    fn the_longest_prefix_wins_with_its_own_credentials_only() {
        let environment = [
            ("MEDTRAIN_STORE_0_AWS_ACCESS_KEY_ID", "wide"),
            ("MEDTRAIN_STORE_1_AWS_ACCESS_KEY_ID", "narrow"),
            ("MEDTRAIN_STORE_10_AWS_ACCESS_KEY_ID", "other"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let entries =
            vec![entry("s3://", None), entry("s3://models/", Some("http://minio:9000")), entry("gs://", None)];
        let access = Access::with_environment(entries, &environment);
        let key = |uri| access.options(uri).credentials.get("AWS_ACCESS_KEY_ID").cloned();
        assert_eq!(key("s3://models/med").as_deref(), Some("narrow"));
        assert_eq!(key("s3://data/x.jsonl").as_deref(), Some("wide"));
        assert_eq!((key("gs://b/x"), key("az://c/x")), (None, None));
        assert!(!access.has_credentials(2));
        let narrow = access.options("s3://models/med");
        assert_eq!(narrow.settings["allow_http"], "true");
        assert_eq!(narrow.ca_file, Some("/ca".into()));
        assert_eq!(narrow.entry.as_deref(), Some("storage[1] (uriPrefix s3://models/)"));
        assert_eq!(access.options("az://c/x").entry, None);
    }
}
