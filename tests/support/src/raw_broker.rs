//! A broker that says any bytes: ours keeps to the protocol, somebody else's need not.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context as _, Result};
use espalier_protocol::topic::Topic;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;

const CONNECT: u8 = 1;
const PUBLISH: u8 = 3;
const SUBSCRIBE: u8 = 8;
const PING: u8 = 12;
const DISCONNECT: u8 = 14;

/// A broker that answers its clients as MQTT 5 asks, and then says what it was told to.
#[derive(Debug)]
pub struct RawBroker(JoinHandle<()>);

impl RawBroker {
    /// Starts one. The first client that subscribes is sent the first of `sayings`, the next the second;
    /// when there are no more, the broker only answers.
    ///
    /// # Errors
    /// When the certificate cannot be used or the address is taken.
    pub async fn start(
        listen: SocketAddr,
        chain_pem: &str,
        key_pem: &str,
        sayings: impl IntoIterator<Item = Vec<u8>>,
    ) -> Result<Self> {
        let tls = TlsAcceptor::from(Arc::new(tls(chain_pem, key_pem)?));
        let listener = TcpListener::bind(listen)
            .await
            .with_context(|| format!("a broker cannot listen on {listen}"))?;
        let sayings = Sayings(Arc::new(Mutex::new(sayings.into_iter().collect())));
        Ok(Self(tokio::spawn(serve(listener, tls, sayings))))
    }

    /// Ends it; when this returns, its address is free for another.
    pub async fn stop(mut self) {
        self.0.abort();
        // It was told to end, and says so.
        let _ended = (&mut self.0).await;
    }
}

impl Drop for RawBroker {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A message as it goes over the wire, of any size.
#[must_use]
pub fn message(topic: &Topic, payload: &[u8]) -> Vec<u8> {
    let topic = topic.to_string();
    let mut packet = vec![PUBLISH << 4];
    let mut rest = 2 + topic.len() + 1 + payload.len();
    loop {
        let low = (rest % 128) as u8;
        rest /= 128;
        packet.push(if rest > 0 { low | 0x80 } else { low });
        if rest == 0 {
            break;
        }
    }
    packet.extend((topic.len() as u16).to_be_bytes());
    packet.extend(topic.as_bytes());
    packet.push(0);
    packet.extend(payload);
    packet
}

#[derive(Clone)]
struct Sayings(Arc<Mutex<VecDeque<Vec<u8>>>>);

impl Sayings {
    fn next(&self) -> Vec<u8> {
        let mut sayings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sayings.pop_front().unwrap_or_default()
    }
}

fn tls(chain_pem: &str, key_pem: &str) -> Result<ServerConfig> {
    crate::tls_provider();
    let chain = CertificateDer::pem_slice_iter(chain_pem.as_bytes()).collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes())?;
    Ok(ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)?)
}

/// Conversations end with the broker: their set is this task's own.
async fn serve(listener: TcpListener, tls: TlsAcceptor, sayings: Sayings) {
    let mut conversations = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, sayings) = (tls.clone(), sayings.clone());
        conversations.spawn(async move { converse(stream, &tls, &sayings).await });
    }
}

async fn converse(stream: TcpStream, tls: &TlsAcceptor, sayings: &Sayings) -> std::io::Result<()> {
    let mut stream = tls.accept(stream).await?;
    loop {
        let (head, body) = packet(&mut stream).await?;
        match head >> 4 {
            // It says that it remembers the session, and remembers no subscription.
            CONNECT => stream.write_all(&[0x20, 3, 1, 0, 0]).await?,
            SUBSCRIBE => {
                stream.write_all(&granted(&body)).await?;
                stream.write_all(&sayings.next()).await?;
            }
            PUBLISH if head & 0b110 != 0 => stream.write_all(&taken(&body)).await?,
            PING => stream.write_all(&[0xd0, 0]).await?,
            DISCONNECT => return Ok(()),
            _ => {}
        }
        stream.flush().await?;
    }
}

/// The next packet of a client of ours: its first byte and what follows its length.
async fn packet(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<(u8, Vec<u8>)> {
    let head = stream.read_u8().await?;
    let mut length = 0;
    for place in 0..4 {
        let byte = stream.read_u8().await?;
        length |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok((head, body))
}

/// SUBACK: every filter is granted. Our clients send no properties with a subscription.
fn granted(subscribe: &[u8]) -> Vec<u8> {
    let mut filters = subscribe.get(3..).unwrap_or_default();
    let mut codes = Vec::new();
    while let [high, low, rest @ ..] = filters {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        filters = rest.get(length + 1..).unwrap_or_default();
        codes.push(1);
    }
    let id = subscribe.get(..2).unwrap_or_default();
    let length = (id.len() + 1 + codes.len()) as u8;
    [&[0x90, length], id, &[0], &codes].concat()
}

/// PUBACK of a client's message.
fn taken(publish: &[u8]) -> Vec<u8> {
    let topic = publish.get(..2).unwrap_or_default();
    let topic = topic
        .iter()
        .fold(0, |length, byte| length << 8 | usize::from(*byte));
    let id = publish.get(2 + topic..4 + topic).unwrap_or_default();
    [&[0x40, 2], id].concat()
}
