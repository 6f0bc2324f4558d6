//! What the operator asked of the API server, by the audit log.
//!
//! Holds: requests are counted when they are answered; watches and the renewal of the lease, which do not grow with the
//! trainings, are left out.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::Deserialize;

#[derive(Debug, Default)]
pub struct Requests {
    /// By verb and resource.
    pub by_kind: BTreeMap<String, usize>,
    /// How often a Job was created, by namespace and name.
    pub jobs: BTreeMap<(String, String), usize>,
    /// Answers that were errors, by kind of request and code.
    pub errors: BTreeMap<String, usize>,
    pub last: Option<Timestamp>,
    pub all: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    stage: String,
    verb: String,
    user: User,
    object_ref: Option<Object>,
    response_status: Option<Status>,
    request_received_timestamp: Timestamp,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Object {
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Deserialize)]
struct Status {
    code: Option<u16>,
}

impl Requests {
    /// Reads all files of the log in `folder`: the API server begins a new one after 100 MB.
    ///
    /// # Errors
    /// There is none, or it can't be read.
    pub fn of(user: &str, folder: &Path) -> Result<Self> {
        let mut requests = Self::default();
        for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with("audit") && name.ends_with(".jsonl") {
                let file = File::open(&path).with_context(|| path.display().to_string())?;
                for line in BufReader::new(file).lines() {
                    requests.take(&line?, user);
                }
            }
        }
        anyhow::ensure!(requests.all > 0, "no request of {user} in {}", folder.display());
        Ok(requests)
    }

    /// The last line may be half written: it is no request yet.
    fn take(&mut self, line: &str, user: &str) {
        // Most lines are others'; parsing them all would take longer than the operator does.
        if !line.contains(user) {
            return;
        }
        let Ok(entry) = serde_json::from_str::<Entry>(line) else { return };
        let object = entry.object_ref.unwrap_or_default();
        let counts = entry.stage == "ResponseComplete" && entry.verb != "watch" && object.resource != "leases";
        if entry.user.username != user || !counts {
            return;
        }
        let slash = if object.subresource.is_empty() { "" } else { "/" };
        let kind = format!("{} {}{slash}{}", entry.verb, object.resource, object.subresource);
        let code = entry.response_status.and_then(|status| status.code).unwrap_or_default();
        if entry.verb == "create" && object.resource == "jobs" && code == 201 {
            *self.jobs.entry((object.namespace, object.name)).or_default() += 1;
        }
        if code >= 400 {
            *self.errors.entry(format!("{kind} {code}")).or_default() += 1;
        }
        *self.by_kind.entry(kind).or_default() += 1;
        self.all += 1;
        self.last = self.last.max(Some(entry.request_received_timestamp));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(user: &str, verb: &str, resource: &str, code: u16, time: &str) -> String {
        format!(
            r#"{{"stage":"ResponseComplete","verb":"{verb}","user":{{"username":"{user}"}},"requestURI":"/x","objectRef":{{"resource":"{resource}","namespace":"ns","name":"t1-pt-1"}},"responseStatus":{{"metadata":{{}},"code":{code}}},"requestReceivedTimestamp":"2026-11-24T14:00:{time}Z"}}"#
        )
    }

    #[test]
    fn jobs_count_when_they_were_made_and_others_requests_never() {
        let mut requests = Requests::default();
        for (user, verb, resource, code, time) in [
            ("op", "create", "jobs", 201, "01.000001"),
            ("op", "create", "jobs", 409, "02.000001"),
            ("operator", "create", "jobs", 201, "03.000001"),
            ("op", "watch", "jobs", 200, "04.000001"),
            ("op", "update", "leases", 200, "05.000001"),
        ] {
            requests.take(&line(user, verb, resource, code, time), "op");
        }
        requests.take(r#"{"stage":"ResponseComplete","user":{"username":"op"#, "op");
        assert_eq!(requests.by_kind, BTreeMap::from([("create jobs".to_owned(), 2)]));
        assert_eq!(requests.errors, BTreeMap::from([("create jobs 409".to_owned(), 1)]));
        assert_eq!(requests.jobs, BTreeMap::from([(("ns".to_owned(), "t1-pt-1".to_owned()), 1)]));
        assert_eq!(requests.last, Some("2026-11-24T14:00:02.000001Z".parse().unwrap()));
    }
}
