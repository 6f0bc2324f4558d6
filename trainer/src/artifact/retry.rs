//! Which errors of a store end the process, with which exit code, and which are tried again until a deadline.

use std::{
    error::Error as StdError,
    io::{self, ErrorKind},
    path::Path,
    time::{Duration, Instant},
};

use medtrain_crds::contract::ExitCode;
use object_store::Error;

use super::connector::untrusted;
use crate::failure::{Failure, Result};

/// What went wrong in one try: in the store, or on this machine (which is never tried again).
pub(super) enum Trouble {
    Store(Error),
    Here(Failure),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Here(failure)
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// Runs `attempt` until it succeeds, fails for good, or has kept failing for `deadline` since its first failure.
pub(super) async fn persist<T>(
    uri: &str,
    local: bool,
    deadline: Duration,
    mut attempt: impl AsyncFnMut() -> std::result::Result<T, Trouble>,
) -> Result<T> {
    let mut pause = FIRST_PAUSE;
    let mut first_failure = None;
    loop {
        let error = match attempt().await {
            Ok(value) => return Ok(value),
            Err(Trouble::Here(failure)) => return Err(failure),
            Err(Trouble::Store(error)) => error,
        };
        if let Some(failure) = lasting(uri, local, &error) {
            return Err(failure);
        }
        let since = *first_failure.get_or_insert_with(Instant::now);
        if since.elapsed() + pause > deadline {
            let seconds = deadline.as_secs();
            return Err(Failure::new(
                ExitCode::TransientIo,
                format!(
                    "{uri}: still failing after {seconds} s of retries: {}; run again when the store is back: finished work is kept",
                    with_cause(&error)
                ),
            ));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// The failure of an error that no retry can mend; `None` if one may.
fn lasting(uri: &str, local: bool, error: &Error) -> Option<Failure> {
    let permission = |what: &str| {
        let text = format!("{uri}: {what}: {}; check the credentials and what they allow", brief(error));
        Some(Failure::new(ExitCode::Permission, text))
    };
    let config = |what: &str| Some(Failure::config(format!("{uri}: {what}{}", brief(error))));
    if let Some(problem) = untrusted(error) {
        return Some(Failure::config(format!(
            "{uri}: the store's certificate is not trusted ({problem}); name its CA by storage[].caConfigMapRef, or \
             correct the endpoint's host name"
        )));
    }
    match (error, http_status(error)) {
        (_, Some(404)) if error.to_string().contains("Bucket") => {
            Some(Failure::input(format!("{uri}: the bucket does not exist; create it, or correct the URI")))
        }
        (Error::NotFound { .. }, _) => Some(Failure::input(format!("{uri}: not found"))),
        (Error::PermissionDenied { .. }, _) | (_, Some(403)) => permission("the store refused access"),
        (Error::Unauthenticated { .. }, _) | (_, Some(401)) => permission("the store does not accept the credentials"),
        (Error::NotSupported { .. } | Error::NotImplemented { .. }, _)
        | (Error::InvalidPath { .. } | Error::UnknownConfigurationKey { .. }, _) => config(""),
        (Error::JoinError { .. }, _) => Some(Failure::internal(format!("{uri}: {}", brief(error)))),
        // An object that changed under a reader: it begins again.
        (Error::Precondition { .. }, _) => None,
        _ if local => {
            let path = Path::new(uri.trim_start_matches("file://"));
            io_cause(error).filter(|cause| !may_pass(cause)).map(|cause| Failure::io(path, cause))
        }
        (_, Some(408 | 409 | 425 | 429)) => None,
        // The same request would fail again: a wrong region, a bad bucket name.
        (_, Some(400..500)) => config("the store refused the request: "),
        _ if error.to_string().contains("an incorrectly configured region") => config(""),
        _ => None,
    }
}

/// `object_store` has variants for a few statuses and operations only; the rest is in its text.
fn http_status(error: &Error) -> Option<u16> {
    let text = error.to_string();
    let (_, rest) = text.split_once("status code: ")?;
    rest.get(..3)?.parse().ok()
}

/// Local errors that a network file system gets over.
fn may_pass(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Interrupted
            | ErrorKind::TimedOut
            | ErrorKind::StaleNetworkFileHandle
            | ErrorKind::ResourceBusy
            | ErrorKind::WouldBlock
    ) || matches!(error.raw_os_error(), Some(libc::EIO | libc::EREMOTEIO))
}

fn io_cause(error: &Error) -> Option<&io::Error> {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return Some(io);
        }
        cause = error.source();
    }
    None
}

/// One line, at most 300 characters: servers answer with pages of XML.
fn brief(error: &Error) -> String {
    let mut text = String::new();
    for word in error.to_string().split_whitespace() {
        if text.chars().count() + word.chars().count() > 300 {
            text.push('…');
            break;
        }
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(word);
    }
    text
}

/// The same with the last cause, which says more of a lost connection than the request that met it.
pub(super) fn with_cause(error: &Error) -> String {
    let mut innermost: &(dyn StdError + 'static) = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let (text, cause) = (brief(error), innermost.to_string());
    if text.contains(&cause) || text.ends_with('…') { text } else { format!("{text}: {cause}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
        Error::Generic { store: "test", source: source.into() }
    }

    #[test]
    fn each_kind_of_error_has_its_exit_code() {
        let denied = Error::PermissionDenied { path: "p".into(), source: "403".into() };
        let unauthenticated = Error::Unauthenticated { path: "p".into(), source: "401".into() };
        let missing = Error::NotFound { path: "p".into(), source: "404".into() };
        let status =
            |text: &str| generic(format!("Error performing list request: Server returned non-2xx status code: {text}"));
        for (local, error, exit) in [
            (false, denied, ExitCode::Permission),
            (false, unauthenticated, ExitCode::Permission),
            (false, missing, ExitCode::Input),
            (false, status("403 Forbidden: SignatureDoesNotMatch"), ExitCode::Permission),
            (false, status("404 Not Found: <Code>NoSuchBucket</Code>"), ExitCode::Input),
            (false, status("400 Bad Request: x"), ExitCode::Config),
            (true, generic(io::Error::from(ErrorKind::StorageFull)), ExitCode::TransientIo),
            (true, generic(io::Error::from(ErrorKind::ReadOnlyFilesystem)), ExitCode::Permission),
        ] {
            assert_eq!(lasting("s3://b/x", local, &error).map(|f| f.exit), Some(exit), "{error}");
        }
    }

    #[test]
    fn a_missing_bucket_is_told_from_a_missing_object() {
        let error = generic("Server returned non-2xx status code: 404 Not Found: <Code>NoSuchBucket</Code>");
        let message = lasting("s3://b/x", false, &error).unwrap().message;
        assert_eq!(message, "s3://b/x: the bucket does not exist; create it, or correct the URI");
    }

    #[test]
    fn outages_and_server_errors_are_tried_again() {
        for error in [
            generic(io::Error::from(ErrorKind::ConnectionRefused)),
            generic("Server returned non-2xx status code: 503 Service Unavailable"),
            generic("status code: 429 Too Many Requests"),
        ] {
            assert!(lasting("s3://b/x", false, &error).is_none(), "{error}");
        }
        assert!(lasting("file:///x", true, &generic(io::Error::from_raw_os_error(libc::EIO))).is_none());
    }

    #[test]
    fn a_page_of_xml_becomes_one_short_line() {
        let text = brief(&generic(format!("<Error>\n  {}</Error>", "word ".repeat(500))));
        assert!(text.chars().count() <= 302 && !text.contains('\n'), "{text}");
    }
}
