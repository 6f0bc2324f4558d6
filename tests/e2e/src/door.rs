//! A door to the S3 server that can be shut: for what reaches the store through it, the store is down.
//!
//! Holds: while it is shut, connections that were open are cut and new ones are closed at once; none is left hanging.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use anyhow::{Context, Result};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

pub struct Door {
    address: SocketAddr,
    open: watch::Sender<bool>,
    refused: Arc<AtomicUsize>,
}

impl Door {
    /// Opens one beside the server, on a port of its own: `endpoint` is `http://address:port` of this machine.
    ///
    /// # Errors
    /// The endpoint is none of this machine.
    pub async fn open(endpoint: &str) -> Result<Self> {
        let server: SocketAddr = endpoint.trim_start_matches("http://").parse().context(endpoint.to_owned())?;
        let listener = TcpListener::bind((server.ip(), 0)).await.with_context(|| server.ip().to_string())?;
        let address = listener.local_addr()?;
        let (open, is_open) = watch::channel(true);
        let refused = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&refused);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if *is_open.borrow() {
                    tokio::spawn(forward(client, server, is_open.clone()));
                } else {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Ok(Self { address, open, refused })
    }

    /// The store's endpoint for those who are to come through here.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn shut(&self) {
        self.open.send_replace(false);
    }

    pub fn reopen(&self) {
        self.open.send_replace(true);
    }

    /// Connections that came while it was shut.
    pub fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }
}

async fn forward(mut client: TcpStream, server: SocketAddr, mut is_open: watch::Receiver<bool>) {
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    tokio::select! {
        // However it ends, both sides are closed.
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = is_open.wait_for(|open| !open) => {}
    }
}
