//! The two HTTP doors on their ports.

use std::{net::TcpListener, sync::Arc};

use actix_web::{
    HttpServer,
    dev::{Server, ServerHandle},
    web,
};
use rustls::ServerConfig;

use super::DRAIN_SECONDS;
use crate::{cloud::Cloud, door, http};

/// Threads of each door: the machine is shared with database, broker and forge.
const WORKERS: usize = 2;
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// Ports that are bound and not yet served.
pub struct Listeners {
    /// The operator API's.
    pub api: TcpListener,
    /// The device door's.
    pub door: TcpListener,
}

/// TLS of the doors.
pub struct DoorTls {
    /// The operator API's; none on loopback.
    pub api: Option<ServerConfig>,
    /// The device door's.
    pub door: ServerConfig,
}

/// Doors that are open.
pub struct Doors {
    handles: Vec<ServerHandle>,
}

impl Doors {
    /// Opens both.
    ///
    /// # Errors
    /// When a listener cannot be served.
    pub fn open(cloud: &Arc<Cloud>, listeners: Listeners, tls: DoorTls) -> std::io::Result<Self> {
        let operators = open_api(cloud, listeners.api, tls.api)?;
        let devices = open_door(cloud, listeners.door, tls.door)?;
        let handles = vec![operators.handle(), devices.handle()];
        for server in [operators, devices] {
            tokio::spawn(async move {
                if let Err(error) = server.await {
                    tracing::error!(%error, "a door closed by itself");
                }
            });
        }
        Ok(Self { handles })
    }

    /// Lets begun requests end, and takes no new ones.
    pub async fn close(&self) {
        futures::future::join_all(self.handles.iter().map(|handle| handle.stop(true))).await;
    }
}

fn open_api(
    cloud: &Arc<Cloud>,
    listener: TcpListener,
    tls: Option<ServerConfig>,
) -> std::io::Result<Server> {
    let shared = web::Data::from(Arc::clone(cloud));
    let server = HttpServer::new(move || http::app(shared.clone()));
    let server = match tls {
        None => server.listen(listener)?,
        Some(tls) => server.listen_rustls_0_23(listener, tls)?,
    };
    Ok(server
        .workers(WORKERS)
        .backlog(BACKLOG)
        .disable_signals()
        .shutdown_timeout(DRAIN_SECONDS)
        .run())
}

fn open_door(
    cloud: &Arc<Cloud>,
    listener: TcpListener,
    tls: ServerConfig,
) -> std::io::Result<Server> {
    let shared = web::Data::from(Arc::clone(cloud));
    let server = HttpServer::new(move || door::app(shared.clone())).on_connect(door::remember_peer);
    let server = server.listen_rustls_0_23(listener, tls)?;
    Ok(server
        .workers(WORKERS)
        .backlog(BACKLOG)
        .disable_signals()
        .shutdown_timeout(DRAIN_SECONDS)
        .run())
}
