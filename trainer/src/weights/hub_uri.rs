//! `hf://org/name[@revision][/path]` and `hf://datasets/org/name[@revision]/path`, parsed.
//!
//! Holds: names and revisions have no `..`, so they can't leave the cache; printing gives the URI back.

use std::fmt;

use crate::failure::{Failure, Result};

/// What kind of repository the hub is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RepoKind {
    Model,
    Dataset,
}

impl RepoKind {
    /// `models`, `datasets`: the segment of URLs and cache folders.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Model => "models",
            Self::Dataset => "datasets",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubUri {
    pub kind: RepoKind,
    /// `org/name`, or `name` for the few that have no organisation.
    pub repo: String,
    revision: Option<String>,
    /// A file, or for datasets a glob, in the repository.
    pub path: Option<String>,
}

impl HubUri {
    /// Parses a URI that begins with `hf://`. A slash in a revision is written `%2F`.
    pub fn parse(uri: &str) -> Result<Self> {
        let wrong = |problem: &str| {
            Failure::config(format!(
                "{uri}: {problem}; write hf://org/name, hf://org/name@revision or hf://datasets/org/name/path"
            ))
        };
        let rest = uri.strip_prefix("hf://").ok_or_else(|| wrong("not a hub URI"))?;
        let (kind, rest) = match rest.strip_prefix("datasets/") {
            Some(rest) => (RepoKind::Dataset, rest),
            None => (RepoKind::Model, rest),
        };
        let mut parts = rest.splitn(3, '/');
        let (first, second, path) = (parts.next().unwrap_or(""), parts.next(), parts.next());
        let (owner, last) = match second {
            Some(second) => (Some(first), second),
            None => (None, first),
        };
        let (name, revision) = match last.split_once('@') {
            Some((name, revision)) => (name, Some(percent_decode(revision))),
            None => (last, None),
        };
        let is_name = |name: &str| {
            !name.is_empty()
                && !name.starts_with('.')
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        };
        if !is_name(name) || owner.is_some_and(|owner| !is_name(owner)) {
            return Err(wrong("no repository name"));
        }
        if revision.as_ref().is_some_and(|r| r.split('/').any(|part| part.is_empty() || part.starts_with('.'))) {
            return Err(wrong("not a revision after \"@\""));
        }
        if kind == RepoKind::Dataset && path.is_none_or(str::is_empty) {
            return Err(wrong("a data set needs the path of a file or a glob, such as data/*.jsonl"));
        }
        Ok(Self {
            kind,
            repo: owner.map_or_else(|| name.to_owned(), |owner| format!("{owner}/{name}")),
            revision,
            path: path.filter(|path| !path.is_empty()).map(percent_decode),
        })
    }

    /// With the revision that a field of its own names. Errors if the URI names another one.
    pub fn at_revision(mut self, revision: Option<&str>) -> Result<Self> {
        match (revision, &self.revision) {
            (Some(given), Some(own)) if given != own => Err(Failure::config(format!(
                "{self}: the URI names revision \"{own}\", the field \"{given}\"; drop one"
            ))),
            (Some(given), _) => {
                self.revision = Some(given.to_owned());
                // The check of revisions is the parser's.
                Self::parse(&self.to_string())
            }
            (None, _) => Ok(self),
        }
    }

    /// The branch, tag or commit; `main` if none is named.
    pub fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or("main")
    }

    pub(super) fn owner(&self) -> &str {
        self.repo.split_once('/').map_or("", |(owner, _)| owner)
    }

    pub(super) fn name(&self) -> &str {
        self.repo.split_once('/').map_or(&self.repo, |(_, name)| name)
    }
}

impl fmt::Display for HubUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let datasets = if self.kind == RepoKind::Dataset { "datasets/" } else { "" };
        write!(f, "hf://{datasets}{}", self.repo)?;
        if let Some(revision) = &self.revision {
            write!(f, "@{}", revision.replace('%', "%25").replace('/', "%2F"))?;
        }
        if let Some(path) = &self.path {
            write!(f, "/{}", path.replace('%', "%25"))?;
        }
        Ok(())
    }
}

/// `%20` and the like; what isn't a valid escape stays as it is.
pub(crate) fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match escape.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(decoded).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_apart_and_printed_back() {
        for (uri, kind, repo, revision, path) in [
            ("hf://org/name", RepoKind::Model, "org/name", "main", None),
            ("hf://org/name@v1.0", RepoKind::Model, "org/name", "v1.0", None),
            ("hf://gpt2", RepoKind::Model, "gpt2", "main", None),
            ("hf://org/name@refs%2Fpr%2F1", RepoKind::Model, "org/name", "refs/pr/1", None),
            ("hf://org/name/sub/m.gguf", RepoKind::Model, "org/name", "main", Some("sub/m.gguf")),
            ("hf://datasets/org/name@v2/data/*.jsonl", RepoKind::Dataset, "org/name", "v2", Some("data/*.jsonl")),
        ] {
            let parsed = HubUri::parse(uri).unwrap();
            assert_eq!(
                (parsed.kind, parsed.repo.as_str(), parsed.revision(), parsed.path.as_deref()),
                (kind, repo, revision, path)
            );
            assert_eq!(parsed.to_string(), uri);
        }
    }

    #[test]
    fn wrong_uris_say_how_to_write_them() {
        let error = |uri: &str| HubUri::parse(uri).unwrap_err().message;
        const HOW: &str = "; write hf://org/name, hf://org/name@revision or hf://datasets/org/name/path";
        assert_eq!(error("hf://"), format!("hf://: no repository name{HOW}"));
        assert_eq!(error("hf://../name"), format!("hf://../name: no repository name{HOW}"));
        assert_eq!(error("hf://org/name@"), format!("hf://org/name@: not a revision after \"@\"{HOW}"));
        assert_eq!(error("hf://org/name@..%2Fx"), format!("hf://org/name@..%2Fx: not a revision after \"@\"{HOW}"));
        assert!(error("hf://datasets/org/name").contains("a data set needs the path of a file or a glob"));
    }

    #[test]
    fn a_revision_of_its_own_field_must_not_contradict_the_uri() {
        let parse = |uri: &str| HubUri::parse(uri).unwrap();
        assert_eq!(parse("hf://org/name").at_revision(Some("v1")).unwrap().revision(), "v1");
        assert_eq!(parse("hf://org/name@v1").at_revision(Some("v1")).unwrap().revision(), "v1");
        assert_eq!(
            parse("hf://org/name@v1").at_revision(Some("v2")).unwrap_err().message,
            "hf://org/name@v1: the URI names revision \"v1\", the field \"v2\"; drop one"
        );
        assert!(parse("hf://org/name").at_revision(Some("../x")).is_err());
    }
}
