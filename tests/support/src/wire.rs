//! A wire that somebody can cut or lead elsewhere: a TCP forwarder between a device and its broker.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context as _, Result};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// A forwarder on a port of its own.
#[derive(Debug)]
pub struct Wire {
    address: SocketAddr,
    end: Arc<Mutex<SocketAddr>>,
    cut: watch::Sender<u64>,
    accepting: JoinHandle<()>,
}

impl Wire {
    /// A wire to `end`.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn to(end: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .context("no port for a wire")?;
        let address = listener.local_addr().context("a wire without an address")?;
        let end = Arc::new(Mutex::new(end));
        let cut = watch::Sender::new(0);
        let accepting = tokio::spawn(accept(listener, Arc::clone(&end), cut.subscribe()));
        Ok(Self {
            address,
            end,
            cut,
            accepting,
        })
    }

    /// Where it begins.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Leads it to another end: open connections are cut, new ones go there.
    pub fn lead_to(&self, end: SocketAddr) {
        *self.end.lock().unwrap_or_else(PoisonError::into_inner) = end;
        self.cut.send_modify(|times| *times += 1);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut.send_modify(|times| *times += 1);
    }
}

async fn accept(listener: TcpListener, end: Arc<Mutex<SocketAddr>>, cut: watch::Receiver<u64>) {
    while let Ok((near, _)) = listener.accept().await {
        let end = *end.lock().unwrap_or_else(PoisonError::into_inner);
        tokio::spawn(forward(near, end, cut.clone()));
    }
}

async fn forward(mut near: TcpStream, end: SocketAddr, mut cut: watch::Receiver<u64>) {
    cut.mark_unchanged();
    let Ok(mut far) = TcpStream::connect(end).await else {
        return;
    };
    tokio::select! {
        _ended = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
        _cut = cut.changed() => {}
    }
}
