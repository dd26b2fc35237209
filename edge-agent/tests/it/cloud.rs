//! The cloud's device door in this process: it enrols, and gives blobs in the manner that a test wants.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, MutexGuard};

use actix_web::web::{self, Bytes, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use espalier_protocol::claim::{Claim, Uplink};
use espalier_protocol::enrol::{EnrolRequest, Enrolled};
use espalier_protocol::id::ClaimId;
use espalier_protocol::trust::TrustLevel;
use espalier_protocol::{DeviceIdentity, Digest};
use espalier_trust::ca::{DeviceCa, Validity};
use futures::{FutureExt, StreamExt, stream};
use ring::rand::SystemRandom;
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use tokio::sync::watch;
use url::Url;

use crate::mint::{Mint, device, hours, id, key, noon};

/// How a blob is given, if not all at once and as it is.
#[derive(Clone, Copy)]
pub enum Manner {
    /// It breaks off after so many bytes, once.
    BrokenOnce(usize),
    /// Only so many bytes come before [`Cloud::go_on`].
    Held(usize),
    /// So many bytes are announced, however many there are.
    Announced(u64),
}

struct World {
    first_root: String,
    ca: DeviceCa,
    blobs: BTreeMap<Digest, Vec<u8>>,
    metadata: BTreeMap<String, Vec<u8>>,
    manners: BTreeMap<Digest, Manner>,
    /// Requests for blobs as they came: which, and where they wanted to begin.
    asked: Vec<(Digest, u64)>,
    /// Requests for certificates as they came: whose, and what they say.
    renewals: Vec<(String, Bytes)>,
}

/// The cloud, shared with its door.
#[derive(Clone)]
pub struct Cloud {
    world: Arc<Mutex<World>>,
    held: watch::Sender<bool>,
    door: Url,
}

fn validity() -> Validity {
    // TLS looks at the real clock, whatever the tests' is.
    Validity {
        not_before: "2020-01-01T00:00:00Z".parse().unwrap(),
        not_after: "2120-01-01T00:00:00Z".parse().unwrap(),
    }
}

impl Cloud {
    pub fn open() -> Self {
        let ca = DeviceCa::create(Arc::new(key()), validity(), &SystemRandom::new()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let tls = server_tls(&ca);
        let cloud = Self {
            world: Arc::new(Mutex::new(World {
                first_root: Mint::new().first_root(),
                ca,
                blobs: BTreeMap::new(),
                metadata: BTreeMap::new(),
                manners: BTreeMap::new(),
                asked: Vec::new(),
                renewals: Vec::new(),
            })),
            held: watch::Sender::new(true),
            door: format!("https://localhost:{port}/").parse().unwrap(),
        };
        let served = cloud.clone();
        std::thread::spawn(move || serve(served, listener, tls));
        cloud
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// Takes bytes in under their digest.
    pub fn keep(&self, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        self.keep_as(digest, bytes);
        digest
    }

    /// Takes bytes in under any digest.
    pub fn keep_as(&self, digest: Digest, bytes: &[u8]) {
        self.world().blobs.insert(digest, bytes.to_vec());
    }

    pub fn keep_metadata(&self, file: &str, bytes: Vec<u8>) {
        self.world().metadata.insert(file.to_owned(), bytes);
    }

    pub fn give(&self, digest: Digest, manner: Manner) {
        self.world().manners.insert(digest, manner);
    }

    /// Lets go of everything that is held.
    pub fn go_on(&self) {
        self.held.send_replace(false);
    }

    /// Where those who asked for a blob wanted to begin.
    pub fn asked_for(&self, digest: Digest) -> Vec<u64> {
        let world = self.world();
        let asked = world.asked.iter().filter(|(asked, _)| *asked == digest);
        asked.map(|(_, begins)| *begins).collect()
    }

    /// Whose certificates were to be renewed, and what the requests said.
    pub fn renewals(&self) -> Vec<(String, Bytes)> {
        self.world().renewals.clone()
    }

    /// An uplink to this cloud, with a broker that nobody reaches: blobs need none.
    pub fn uplink(&self) -> Uplink {
        let uplink = json!({"via": "cloud", "door": self.door, "broker": "mqtts://127.0.0.1:1"});
        serde_json::from_value(uplink).unwrap()
    }

    pub fn claim(&self, uplink: Uplink) -> Claim {
        let world = self.world();
        Claim {
            format: 1,
            id: ClaimId(id(5)),
            tenant: device().tenant,
            token: "let me in".into(),
            expires_at: noon() + hours(1),
            class: None,
            trust: TrustLevel::Development,
            ca_pem: world.ca.certificate_pem().to_owned(),
            tuf_root: world.first_root.clone(),
            uplink,
        }
    }

    fn enrol(&self, request: &EnrolRequest) -> Enrolled {
        let identity = DeviceIdentity::new(device().tenant, request.device.clone());
        let (ca, random) = (&self.world().ca, SystemRandom::new());
        let certificate = ca
            .issue_device(&identity, &request.csr_pem, validity(), &random)
            .unwrap();
        Enrolled {
            identity,
            certificate_pem: certificate.pem,
            gateway: None,
        }
    }

    fn blob(&self, digest: Digest, begins: Option<usize>) -> HttpResponse {
        let mut world = self.world();
        world.asked.push((digest, begins.unwrap_or(0) as u64));
        let Some(mut bytes) = world.blobs.get(&digest).cloned() else {
            return HttpResponse::NotFound().finish();
        };
        let part = bytes.split_off(begins.unwrap_or(0));
        let mut answer = match begins {
            Some(_) => HttpResponse::PartialContent(),
            None => HttpResponse::Ok(),
        };
        let length = part.len() as u64;
        let Some(manner) = world.manners.get(&digest).copied() else {
            return answer.body(part);
        };
        match manner {
            Manner::BrokenOnce(at) => {
                world.manners.remove(&digest);
                let broken = Err(std::io::Error::other("the line was cut"));
                let pieces = [Ok(Bytes::copy_from_slice(&part[..at])), broken];
                // The first piece is to reach the other side before the line is cut.
                let slowly = stream::iter(pieces).then(async |piece| {
                    tokio::task::yield_now().await;
                    piece
                });
                answer.no_chunking(length).streaming(Box::pin(slowly))
            }
            Manner::Held(at) => {
                let mut held = self.held.subscribe();
                let rest = Bytes::copy_from_slice(&part[at..]);
                let late = async move {
                    held.wait_for(|held| !held).await.unwrap();
                    Ok::<_, std::io::Error>(rest)
                };
                let first = Ok(Bytes::copy_from_slice(&part[..at]));
                let pieces = stream::iter([first]).chain(late.into_stream());
                answer.no_chunking(length).streaming(Box::pin(pieces))
            }
            Manner::Announced(length) => {
                let pieces = stream::iter([Ok::<_, std::io::Error>(Bytes::from(part))]);
                answer.no_chunking(length).streaming(pieces)
            }
        }
    }
}

fn server_tls(ca: &DeviceCa) -> ServerConfig {
    let certificate = ca
        .issue_server(&["localhost".to_owned()], validity(), &SystemRandom::new())
        .unwrap();
    let chain = CertificateDer::pem_slice_iter(certificate.pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .unwrap();
    let key = PrivateKeyDer::from_pem_slice(certificate.key_pem.as_bytes()).unwrap();
    ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap()
}

#[actix_web::main]
async fn serve(cloud: Cloud, listener: TcpListener, tls: ServerConfig) {
    let server = HttpServer::new(move || {
        App::new()
            .app_data(Data::new(cloud.clone()))
            .route("/device/v1/enrol", web::post().to(enrol))
            .route("/device/v1/tuf/{file}", web::get().to(metadata))
            .route("/device/v1/blobs/{digest}", web::get().to(blob))
            .route("/device/v1/{tenant}/{device}/renew", web::post().to(renew))
    });
    let server = server.workers(1).disable_signals();
    let server = server.listen_rustls_0_23(listener, tls).unwrap();
    server.run().await.unwrap();
}

async fn enrol(cloud: Data<Cloud>, request: web::Json<EnrolRequest>) -> HttpResponse {
    HttpResponse::Ok().json(cloud.enrol(&request))
}

/// Says no, in words that are to arrive as they are.
async fn renew(cloud: Data<Cloud>, of: web::Path<(String, String)>, said: Bytes) -> HttpResponse {
    let (tenant, device) = of.into_inner();
    let whose = format!("{tenant}/{device}");
    cloud.world().renewals.push((whose, said));
    HttpResponse::Conflict().body("not yet")
}

async fn metadata(cloud: Data<Cloud>, file: web::Path<String>) -> HttpResponse {
    match cloud.world().metadata.get(&*file) {
        Some(bytes) => HttpResponse::Ok().body(bytes.clone()),
        None => HttpResponse::NotFound().finish(),
    }
}

async fn blob(cloud: Data<Cloud>, digest: web::Path<Digest>, request: HttpRequest) -> HttpResponse {
    let range = request.headers().get("range");
    let begins = range.map(|range| {
        let range = range.to_str().unwrap();
        range["bytes=".len()..range.len() - 1].parse().unwrap()
    });
    cloud.blob(*digest, begins)
}
