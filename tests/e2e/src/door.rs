//! A door to the S3 server that can be shut or left hanging: for what reaches the store through it, the store is down.
//!
//! Holds: when it is no longer open, connections that were open move no byte more; they are closed when it is shut or
//! opened again.

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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    Open,
    /// Connections are closed at once, as by a server that does not run.
    Shut,
    /// Connections are accepted and get no answer, as behind a network that loses everything.
    Hanging,
}

pub struct Door {
    address: SocketAddr,
    position: watch::Sender<Position>,
    turned_away: Arc<AtomicUsize>,
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
        let (position, at) = watch::channel(Position::Open);
        let turned_away = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&turned_away);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if *at.borrow() != Position::Open {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
                tokio::spawn(forward(client, server, at.clone(), Arc::clone(&counted)));
            }
        });
        Ok(Self { address, position, turned_away })
    }

    /// The store's endpoint for those who are to come through here.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn set(&self, position: Position) {
        self.position.send_replace(position);
    }

    /// Connections that came while it was not open, and those that were asked for something then.
    pub fn turned_away(&self) -> usize {
        self.turned_away.load(Ordering::Relaxed)
    }
}

/// However it ends, both sides are closed.
async fn forward(
    mut client: TcpStream,
    server: SocketAddr,
    mut at: watch::Receiver<Position>,
    turned_away: Arc<AtomicUsize>,
) {
    let now = *at.borrow();
    if now == Position::Open {
        let Ok(mut server) = TcpStream::connect(server).await else { return };
        tokio::select! {
            _ = copy_bidirectional(&mut client, &mut server) => return,
            _ = at.wait_for(|position| *position != Position::Open) => {}
        }
        // A client that keeps its connection asks here first, and opens another only when it has waited for long.
        let mut first = [0];
        tokio::select! {
            Ok(1..) = client.peek(&mut first) => {
                turned_away.fetch_add(1, Ordering::Relaxed);
            }
            _ = at.wait_for(|position| *position != Position::Hanging) => return,
        }
    }
    let _ = at.wait_for(|position| *position != Position::Hanging).await;
}
