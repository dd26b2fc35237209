//! A wire that somebody can cut or lead elsewhere: a TCP forwarder between a device and its broker.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Context as _, Result};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

/// A forwarder on a port of its own.
#[derive(Debug)]
pub struct Wire {
    address: SocketAddr,
    end: Arc<Mutex<SocketAddr>>,
    cut: watch::Sender<u64>,
    bytes: Arc<AtomicU64>,
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
        let bytes = Arc::default();
        let ends = Ends {
            end: Arc::clone(&end),
            cut: cut.subscribe(),
            bytes: Arc::clone(&bytes),
        };
        let accepting = tokio::spawn(accept(listener, ends));
        Ok(Self {
            address,
            end,
            cut,
            bytes,
            accepting,
        })
    }

    /// Where it begins.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Bytes that went over it so far, both ways.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
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

#[derive(Clone)]
struct Ends {
    end: Arc<Mutex<SocketAddr>>,
    cut: watch::Receiver<u64>,
    bytes: Arc<AtomicU64>,
}

async fn accept(listener: TcpListener, ends: Ends) {
    while let Ok((near, _)) = listener.accept().await {
        tokio::spawn(forward(near, ends.clone()));
    }
}

async fn forward(near: TcpStream, mut ends: Ends) {
    ends.cut.mark_unchanged();
    let end = *ends.end.lock().unwrap_or_else(PoisonError::into_inner);
    let Ok(far) = TcpStream::connect(end).await else {
        return;
    };
    let (near_in, near_out) = near.into_split();
    let (far_in, far_out) = far.into_split();
    tokio::select! {
        _ended = pass(near_in, far_out, &ends.bytes) => {}
        _ended = pass(far_in, near_out, &ends.bytes) => {}
        _cut = ends.cut.changed() => {}
    }
}

/// Passes bytes on and counts them, until one side ends.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    bytes: &AtomicU64,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        bytes.fetch_add(count as u64, Ordering::Relaxed);
        to.write_all(&buffer[..count]).await?;
    }
}
