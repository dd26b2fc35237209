//! A gateway's LAN door: what the devices behind it ask for, over HTTPS with their own certificates.
//!
//! The gateway is not trusted by anybody for what passes through: messages are signed end to end,
//! metadata carry signatures, and every child digests the bytes that it gets. The door's own checks
//! keep children apart from one another, and what they ask for within the cache's budget and the disk's free space.

mod cache;
mod peer;
mod routes;

use std::{net::TcpListener, sync::Arc};

use actix_web::{App, HttpServer, dev::Server, web};
use espalier_link::{Children, Door, Identity, tls};

pub use cache::BlobCache;
use cache::CacheError;

/// Children keep idle connections and long polls open, and whatever is cut off they resume: nothing is worth more.
const SHUTDOWN_SECONDS: u64 = 2;
/// Connections at once; stops one host from taking all file descriptors.
const MAX_CONNECTIONS: usize = 2048;

/// What the door needs from the rest of the agent.
pub struct Relay {
    /// Messages of the children.
    pub children: Arc<Children>,
    /// The cloud's door.
    pub upstream: Door,
    /// Blobs that were fetched for children.
    pub cache: BlobCache,
}

/// Why the door cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The gateway's certificate.
    #[error("the LAN door cannot be opened")]
    Tls(#[from] tls::TlsError),
    /// The socket.
    #[error("the LAN door cannot be opened")]
    Socket(#[from] std::io::Error),
}

/// Opens the door on a bound socket; the server runs once it is awaited.
///
/// # Errors
/// When the certificate or the socket cannot be used.
pub fn open(relay: Relay, identity: &Identity, socket: TcpListener) -> Result<Server, RelayError> {
    let relay = web::Data::new(relay);
    let server = HttpServer::new(move || {
        App::new()
            .app_data(relay.clone())
            .configure(routes::configure)
    })
    .workers(1)
    .max_connections(MAX_CONNECTIONS)
    .on_connect(peer::remember)
    .shutdown_timeout(SHUTDOWN_SECONDS)
    .disable_signals()
    .listen_rustls_0_23(socket, tls::relay_server(identity)?)?;
    Ok(server.run())
}
