//! The port of a running stage: `/metrics` for Prometheus, `/progress` for the operator, `/healthz` for the kubelet.
//!
//! Holds: it answers from a thread of its own, so a busy training still answers; it ends with the [`Server`].

use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread::JoinHandle,
};

use axum::{Json, Router, http::StatusCode, http::header::CONTENT_TYPE, response::IntoResponse, routing::get};
use tokio::sync::oneshot;

use super::{Metrics, SharedProgress};
use crate::failure::{Failure, Result};

pub struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens on `listen`: `ADDRESS:PORT`, or `:PORT` for every address; port 0 takes any free one.
    ///
    /// # Errors
    /// 64, naming the address and the way out, when it can't be listened on.
    pub fn start(listen: &str, metrics: Arc<Metrics>, progress: SharedProgress) -> Result<Self> {
        let listener = bind(listen).map_err(|e| refused(listen, &e))?;
        let address = listener.local_addr().map_err(|e| refused(listen, &e))?;
        listener.set_nonblocking(true).map_err(|e| refused(listen, &e))?;
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| refused(listen, &e))?;
        let (stop, stopped) = oneshot::channel();
        let routes = routes(metrics, progress);
        let serve = async move {
            let listener = match tokio::net::TcpListener::from_std(listener) {
                Ok(listener) => listener,
                Err(error) => return eprintln!("{address}: /metrics and /progress are not served: {error}"),
            };
            let until = async { drop(stopped.await) };
            tokio::select! {
                ended = axum::serve(listener, routes) => if let Err(error) = ended {
                    eprintln!("{address}: /metrics and /progress are no longer served: {error}");
                },
                () = until => {}
            }
        };
        let thread = std::thread::Builder::new().name("metrics".into()).spawn(move || runtime.block_on(serve));
        Ok(Self { address, stop: Some(stop), thread: Some(thread.map_err(|e| refused(listen, &e))?) })
    }

    /// Where it listens, with the port that was found for 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a panic in it was printed already
        }
    }
}

fn routes(metrics: Arc<Metrics>, progress: SharedProgress) -> Router {
    let metrics = move || async move {
        match metrics.render() {
            Ok(text) => ([(CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
            Err(failure) => (StatusCode::INTERNAL_SERVER_ERROR, failure.message).into_response(),
        }
    };
    Router::new()
        .route("/metrics", get(metrics))
        .route("/progress", get(move || async move { Json(progress.snapshot()) }))
        .route("/healthz", get(|| async { "ok\n" }))
}

fn bind(listen: &str) -> std::io::Result<TcpListener> {
    match listen.strip_prefix(':') {
        // Dual-stack where there is IPv6.
        Some(port) => {
            TcpListener::bind(format!("[::]:{port}")).or_else(|_| TcpListener::bind(format!("0.0.0.0:{port}")))
        }
        None => TcpListener::bind(listen),
    }
}

fn refused(listen: &str, error: &std::io::Error) -> Failure {
    let why = match error.kind() {
        ErrorKind::AddrInUse => "another program listens there; choose another port, or 0 for any free one".to_owned(),
        ErrorKind::PermissionDenied => "not allowed; choose a port above 1023".to_owned(),
        ErrorKind::AddrNotAvailable => "this machine has no such address; write :PORT for all of them".to_owned(),
        ErrorKind::InvalidInput => "not an address; write ADDRESS:PORT or :PORT".to_owned(),
        _ => error.to_string(),
    };
    Failure::config(format!("--listen {listen}: {why}"))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    fn server() -> Server {
        let progress = SharedProgress::new("sft");
        progress.update(|p| p.step = 7);
        Server::start("127.0.0.1:0", Arc::new(Metrics::new("sft", "SFT").unwrap()), progress).unwrap()
    }

    fn fetch(address: SocketAddr, path: &str) -> String {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn metrics_progress_and_health_are_served() {
        let server = server();
        let metrics = fetch(server.address(), "/metrics");
        assert!(metrics.starts_with("HTTP/1.1 200") && metrics.contains("content-type: text/plain"), "{metrics}");
        assert!(metrics.contains("medtrain_trainer_step{"), "{metrics}");
        let progress = fetch(server.address(), "/progress");
        assert!(progress.ends_with(r#"{"stage":"sft","phase":"starting","step":7,"total":0,"bytes":0}"#), "{progress}");
        assert!(fetch(server.address(), "/healthz").starts_with("HTTP/1.1 200"));
        assert!(fetch(server.address(), "/else").starts_with("HTTP/1.1 404"));
    }

    #[test]
    fn the_port_is_free_again_when_the_server_is_gone() {
        let server = server();
        let address = server.address();
        drop(server);
        assert!(std::net::TcpStream::connect(address).is_err());
    }

    #[test]
    fn a_taken_port_and_a_wrong_address_say_what_to_do() {
        let first = server();
        let start = |listen: &str| {
            let metrics = Arc::new(Metrics::new("sft", "SFT").unwrap());
            Server::start(listen, metrics, SharedProgress::new("sft")).map(|_| ()).unwrap_err()
        };
        let failure = start(&first.address().to_string());
        assert_eq!(failure.exit.code(), 64);
        assert_eq!(
            failure.message,
            format!(
                "--listen {}: another program listens there; choose another port, or 0 for any free one",
                first.address()
            )
        );
        assert_eq!(start("9400").message, "--listen 9400: not an address; write ADDRESS:PORT or :PORT");
    }
}
