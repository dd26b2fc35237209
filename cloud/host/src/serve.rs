//! From the command line to a running server, and from a signal to its end.

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use espalier_runtime::engine::Engine;
use espalier_runtime::{GraphOptions, ModelFolder};
use espalier_serving::{HostOptions, Limits, ModelHost, Origin, Place, Service, Tier, http};
use tokio::signal::unix::{SignalKind, signal};

use crate::arguments::Arguments;
use crate::registry::Follower;

/// Threads that carry HTTP; inference has its own.
const HTTP_THREADS: usize = 2;

pub async fn serve(arguments: &Arguments) -> anyhow::Result<()> {
    if !arguments.listen.ip().is_loopback() && !arguments.allow_plain_http {
        bail!(
            "{} can be reached from other machines, and this host speaks plain HTTP without asking who you are: \
             put a proxy with TLS before it, or insist with --allow-plain-http",
            arguments.listen
        );
    }
    let listener = TcpListener::bind(arguments.listen).with_context(|| {
        format!(
            "cannot listen on {}: choose another address with --listen",
            arguments.listen
        )
    })?;
    let host = Arc::new(ModelHost::new(options(arguments)));
    for folder in &arguments.models {
        load(Arc::clone(&host), folder).await?;
    }
    let follower = match &arguments.cloud {
        Some(_) => Some(follow(arguments, &host).await?),
        None => None,
    };
    let place = Place {
        tier: Tier::Cloud,
        name: arguments.name.clone(),
    };
    let service = Arc::new(Service::new(host, place, limits(arguments)));
    let address = format!("http://{}/", listener.local_addr()?);
    let server = http::on_tcp(Arc::clone(&service), listener, HTTP_THREADS)?;
    let handle = server.handle();
    let running = actix_web::rt::spawn(server);
    if let Some(file) = &arguments.address_file {
        publish(file, &address)?;
    }
    tracing::info!(address, "serving");
    terminated().await?;
    tracing::info!("draining");
    service.drain();
    drop(follower);
    handle.stop(true).await;
    running.await??;
    Ok(())
}

fn options(arguments: &Arguments) -> HostOptions {
    let graphs = GraphOptions {
        providers: arguments.providers.clone(),
        threads: arguments.threads(),
        sessions: arguments.workers,
        ..GraphOptions::default()
    };
    HostOptions {
        graphs,
        embedding_bytes: arguments.embedding_cache << 20,
    }
}

fn limits(arguments: &Arguments) -> Limits {
    Limits {
        workers: arguments.workers.get(),
        queue: arguments.queue,
        time: arguments.time_limit(),
        ..Limits::default()
    }
}

/// Loads a folder and lets it serve, away from the async threads.
async fn load(host: Arc<ModelHost>, folder: &Path) -> anyhow::Result<()> {
    let path = folder.to_owned();
    let loading = move || -> anyhow::Result<()> {
        let folder = ModelFolder::open(&path)?;
        let candidate = host.load(&folder)?.check_golden(&folder, || ())?;
        tracing::info!(model = %folder.model(), folder = %path.display(), placements = ?candidate.placements(), "loaded");
        host.switch(candidate, Origin::default());
        Ok(())
    };
    let loaded = tokio::task::spawn_blocking(loading).await?;
    loaded.with_context(|| format!("the model in {} cannot be served", folder.display()))
}

/// Loads what the cloud has now, and keeps following it.
async fn follow(
    arguments: &Arguments,
    host: &Arc<ModelHost>,
) -> anyhow::Result<actix_web::rt::task::JoinHandle<()>> {
    // Without it nothing serves, and that is no version's fault.
    Engine::shared()?;
    let mut follower = Follower::new(arguments, Arc::clone(host))?;
    follower
        .catch_up()
        .await
        .context("the cloud's models cannot be fetched")?;
    Ok(actix_web::rt::spawn(follower.run()))
}

/// Writes the address so that a reader sees all of it or nothing.
fn publish(file: &Path, address: &str) -> anyhow::Result<()> {
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        let mut fresh = tempfile::NamedTempFile::new_in(folder)?;
        std::io::Write::write_all(&mut fresh, address.as_bytes())?;
        fresh.persist(file)?;
        Ok(())
    };
    write().with_context(|| format!("the address cannot be written to {}", file.display()))
}

async fn terminated() -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
