//! `espalier-agent run`: the daemon.

use std::{
    net::{SocketAddr, TcpListener},
    os::unix::net::UnixListener,
    sync::Arc,
};

use actix_web::{
    App, HttpResponse, HttpServer,
    dev::{Server, ServerHandle},
    web,
};
use anyhow::{Context as _, Result};
use espalier_link::{Deps, Engine, Handle, Identity, StateFolder, Status};
use espalier_protocol::trust::TrustLevel;
use espalier_runtime::GraphOptions;
use espalier_serving::{HostOptions, Limits, ModelHost, Service, http};
use espalier_slots::Disk;
use rand::{SeedableRng as _, rngs::StdRng};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    config::Config,
    doors::Doors,
    inventory,
    lock::StateLock,
    now, place,
    probe::HostProbe,
    relay::{self, BlobCache, Relay},
    socket, telemetry,
};

/// Run the agent: keep models fresh and serve them, until SIGTERM or Ctrl-C.
#[derive(Debug, clap::Args)]
pub struct Run {}

impl Run {
    /// Runs until it is told to end, then lets requests in flight finish.
    ///
    /// # Errors
    /// When the device is not enrolled, its keys are not to be trusted, or a door cannot be opened.
    pub async fn run(self, config: &Config) -> Result<()> {
        telemetry::start(config.log_format);
        let _lock = StateLock::take(&config.state)?;
        let identity = identity(config)?;
        tracing::info!(device = %identity.device(), trust = %identity.facts().trust, "the agent starts");
        if let Err(error) = espalier_runtime::engine::find_library() {
            tracing::error!(%error, "no model can be tried or served here; the conversation goes on without");
        }
        let host = Arc::new(ModelHost::new(host_options(config)));
        let (engine, handle) = engine(config, &identity, &host)?;
        let service = Arc::new(Service::new(
            host,
            place::of(identity.facts()),
            Limits::default(),
        ));
        let (doors, servers) = open_doors(config, &identity, &service, handle)?;

        let cancel = CancellationToken::new();
        let mut engine = tokio::spawn(engine.run(cancel.clone()));
        doors.write(&config.state)?;
        tracing::info!(serving = %doors.serving, relay = ?doors.relay, "the doors are open");
        let ended = tokio::select! {
            told = asked_to_stop() => told.map(|()| None)?,
            ended = &mut engine => Some(ended),
        };
        tracing::info!("the agent stops; requests in flight are answered first");
        service.drain();
        cancel.cancel();
        for server in servers {
            server.stop(true).await;
        }
        let ended = match ended {
            Some(ended) => ended,
            None => engine.await,
        };
        ended.context("the engine panicked")
    }
}

/// Opens the local door and, on a gateway, the LAN door; both serve at once.
fn open_doors(
    config: &Config,
    identity: &Identity,
    service: &Arc<Service>,
    handle: Handle,
) -> Result<(Doors, Vec<ServerHandle>)> {
    let serving = bind(config.serving, "the serving door")?;
    let mut doors = Doors {
        pid: std::process::id(),
        serving: serving.local_addr()?,
        socket: config.socket.clone(),
        relay: None,
    };
    let socket = config.socket.as_deref().map(socket::bind).transpose()?;
    let mut servers = vec![serving_door(
        service,
        handle.status.clone(),
        serving,
        socket,
    )?];
    if let Some((relay, address)) = relay_door(config, identity, handle)? {
        doors.relay = Some(address);
        servers.push(relay);
    }
    let handles = servers.iter().map(Server::handle).collect();
    // They end by their handles; what a server says then is that it was stopped.
    servers
        .into_iter()
        .for_each(|server| drop(tokio::spawn(server)));
    Ok((doors, handles))
}

fn identity(config: &Config) -> Result<Identity> {
    let state = StateFolder::new(&config.state);
    let identity = Identity::load(Arc::new(Disk), &state)?.with_context(|| {
        format!(
            "no device was enrolled in {}: run `espalier-agent enrol --claim FILE …` first",
            config.state.display()
        )
    })?;
    let development = identity.facts().trust == TrustLevel::Development;
    anyhow::ensure!(
        config.development_trust || !development,
        "this device was enrolled with development keys: start it with --development-trust, or enrol it anew"
    );
    if development {
        tracing::warn!(
            "this device trusts development keys: whoever has the machine of `espalier up` can release to it"
        );
    }
    Ok(identity)
}

fn host_options(config: &Config) -> HostOptions {
    HostOptions {
        graphs: GraphOptions {
            providers: config.providers.clone(),
            threads: config.threads,
            ..GraphOptions::default()
        },
        ..HostOptions::default()
    }
}

fn engine(config: &Config, identity: &Identity, host: &Arc<ModelHost>) -> Result<(Engine, Handle)> {
    let deps = Deps {
        clock: Arc::new(now),
        random: StdRng::from_os_rng(),
        files: Arc::new(Disk),
        probe: Arc::new(HostProbe::new(Arc::clone(host))),
        inventory: inventory::look(&config.state, &config.providers),
    };
    let state = StateFolder::new(&config.state);
    Engine::open(
        &state,
        identity.clone(),
        espalier_link::Config::default(),
        deps,
    )
    .context("the agent cannot start")
}

/// The local door: inference, and the agent's own state.
fn serving_door(
    service: &Arc<Service>,
    status: watch::Receiver<Status>,
    address: TcpListener,
    socket: Option<UnixListener>,
) -> Result<Server> {
    let service = Arc::clone(service);
    let mut server = HttpServer::new(move || {
        App::new()
            .app_data(web::Data::new(status.clone()))
            .route("/agent/v1/status", web::get().to(show_status))
            .configure(http::configure(Arc::clone(&service)))
    })
    .workers(1)
    .max_connections(http::MAX_CONNECTIONS)
    .client_request_timeout(http::HEAD_LIMIT)
    .shutdown_timeout(http::SHUTDOWN_SECONDS)
    .disable_signals()
    .listen(address)?;
    if let Some(socket) = socket {
        server = server.listen_uds(socket)?;
    }
    Ok(server.run())
}

async fn show_status(status: web::Data<watch::Receiver<Status>>) -> HttpResponse {
    HttpResponse::Ok().json(&*status.borrow())
}

/// The LAN door, for gateways only.
fn relay_door(
    config: &Config,
    identity: &Identity,
    handle: Handle,
) -> Result<Option<(Server, SocketAddr)>> {
    let Some(children) = handle.children else {
        return Ok(None);
    };
    let folder = config.state.join("relay");
    let cache = BlobCache::open(folder, config.relay_cache_bytes, handle.door.clone())
        .context("the relay's cache cannot be opened")?;
    let socket = bind(config.relay, "the LAN door")?;
    let address = socket.local_addr()?;
    let relay = Relay {
        children,
        upstream: handle.door,
        cache,
    };
    Ok(Some((relay::open(relay, identity, socket)?, address)))
}

fn bind(address: SocketAddr, what: &str) -> Result<TcpListener> {
    TcpListener::bind(address).with_context(|| format!("{what} cannot be opened at {address}"))
}

async fn asked_to_stop() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
        _ = terminate.recv() => Ok(()),
    }
}
