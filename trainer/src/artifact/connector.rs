//! HTTP for the stores, with one difference: a certificate that is not trusted is said at once.
//!
//! `object_store` takes it for a lost connection and tries again for minutes.

use std::{error::Error, pin::Pin};

use object_store::{
    ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
    },
};

#[derive(Debug)]
pub(super) struct Connector;

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Connection(ReqwestConnector::default().connect(options)?)))
    }
}

#[derive(Debug)]
struct Connection(HttpClient);

impl HttpService for Connection {
    fn call<'a, 't>(
        &'a self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 't>>
    where
        'a: 't,
        Self: 't,
    {
        Box::pin(async move {
            self.0.execute(request).await.map_err(|error| match untrusted(&error) {
                Some(_) => HttpError::new(HttpErrorKind::Unknown, error),
                None => error,
            })
        })
    }
}

/// What is wrong with the certificate, if that is what an error is about.
pub(super) fn untrusted(error: &(dyn Error + 'static)) -> Option<String> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let text = error.to_string();
        if text.starts_with("invalid peer certificate") {
            return Some(text);
        }
        cause = error.source();
    }
    None
}
