//! A cloud in this process: the device door over TLS, and a gateway's LAN door beside it, with faults on demand.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use actix_web::web::{self, Bytes, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use espalier_link::relay::Down;
use espalier_protocol::claim::{Claim, Uplink};
use espalier_protocol::enrol::EnrolRequest;
use espalier_protocol::envelope::Envelope;
use espalier_protocol::id::ClaimId;
use espalier_protocol::report::{Ack, Report, Step};
use espalier_protocol::trust::{PublicKey, TrustLevel};
use espalier_protocol::{DeviceIdentity, Digest};
use espalier_trust::ca::{DeviceCa, Validity};
use futures::StreamExt;
use ring::rand::SystemRandom;
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::watch;
use url::Url;

use crate::mint::{Mint, device, id, key, name, noon};
use crate::register::Register;

/// How long a test waits for something that must happen.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What the doors do to honest requests.
#[derive(Default, Clone)]
pub struct Faults {
    /// Blobs that break off after this many bytes, once each.
    pub break_once: BTreeMap<Digest, usize>,
    /// Blobs that break off after this many bytes, always.
    pub break_always: BTreeMap<Digest, usize>,
    /// Blobs with one flipped bit.
    pub flip: Option<Digest>,
    /// Blobs of which a byte comes now and then.
    pub trickle: Option<Digest>,
    /// Blobs that never end.
    pub endless: Option<Digest>,
    /// Requests for ranges are answered with everything.
    pub no_ranges: bool,
    /// Metadata cannot be had now.
    pub no_metadata: bool,
    /// Everything is answered with this status.
    pub status: Option<u16>,
}

/// What the cloud knows.
pub struct World {
    pub mint: Mint,
    pub ca: DeviceCa,
    pub faults: Faults,
    /// Blob requests as they came: digest, and where they wanted to begin.
    pub asked: Vec<(Digest, u64)>,
    pub enrolled: Vec<PublicKey>,
    pub register: Register,
    pub reports: Vec<Report>,
}

/// The cloud, shared with its doors.
#[derive(Clone)]
pub struct Cloud {
    world: Arc<Mutex<World>>,
    down: watch::Sender<Down>,
    reported: watch::Sender<usize>,
    /// How often metadata were asked for.
    renewals: watch::Sender<usize>,
    pub door: Url,
    pub lan: Url,
}

pub fn validity() -> Validity {
    // TLS looks at the real clock, whatever the tests' is.
    Validity {
        not_before: "2020-01-01T00:00:00Z".parse().unwrap(),
        not_after: "2120-01-01T00:00:00Z".parse().unwrap(),
    }
}

pub fn gateway() -> DeviceIdentity {
    name("acme/gate-1")
}

impl Cloud {
    /// Opens both doors on ports of their own.
    pub fn open() -> Self {
        let random = SystemRandom::new();
        let ca = DeviceCa::create(Arc::new(key()), validity(), &random).unwrap();
        let [cloud, lan] = std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").unwrap());
        let address = |listener: &TcpListener, host: &str| {
            let port = listener.local_addr().unwrap().port();
            format!("https://{host}:{port}/").parse().unwrap()
        };
        let it = Self {
            door: address(&cloud, "localhost"),
            lan: address(&lan, "127.0.0.1"),
            down: watch::Sender::default(),
            reported: watch::Sender::default(),
            renewals: watch::Sender::default(),
            world: Arc::new(Mutex::new(World {
                mint: Mint::new(),
                faults: Faults::default(),
                asked: Vec::new(),
                enrolled: Vec::new(),
                register: Register::default(),
                reports: Vec::new(),
                ca,
            })),
        };
        let cloud_tls = it.server_tls("localhost");
        let lan_tls = it.server_tls(&espalier_protocol::claim::gateway_dns_name(&gateway()));
        let doors = [(cloud, cloud_tls), (lan, lan_tls)];
        let served = it.clone();
        std::thread::spawn(move || serve(served, doors));
        it
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// What a person carries to a device.
    pub fn claim(&self, uplink: Uplink) -> Claim {
        let world = self.world();
        Claim {
            format: 1,
            id: ClaimId(id(5)),
            tenant: device().tenant,
            token: "let me in".into(),
            expires_at: noon() + crate::mint::hours(1),
            class: None,
            trust: TrustLevel::Development,
            ca_pem: world.ca.certificate_pem().to_owned(),
            tuf_root: world.mint.first_root(),
            uplink,
        }
    }

    pub fn by_gateway(&self) -> Uplink {
        Uplink::Gateway {
            door: self.lan.clone(),
            gateway: gateway(),
        }
    }

    pub fn by_cloud(&self, broker: Url) -> Uplink {
        Uplink::Cloud {
            door: self.door.clone(),
            broker,
            broker_ca_pem: None,
        }
    }

    /// Puts a desired state on the way down.
    pub fn send_desired(&self, envelope: Vec<u8>) {
        self.down.send_modify(|down| {
            down.at += 1;
            down.desired = Some(envelope.into());
        });
    }

    /// An acknowledgement of each report that came in.
    pub fn acks(&self) -> Vec<Vec<u8>> {
        let world = self.world();
        let ack = |report: &Report| Ack {
            device: report.device.clone(),
            boot: report.boot,
            seq: report.seq,
        };
        let acks = world.reports.iter().map(ack);
        acks.map(|ack| world.mint.sign_ack(&ack)).collect()
    }

    /// Puts an acknowledgement on the way down.
    pub fn send_ack(&self, envelope: Vec<u8>) {
        self.down.send_modify(|down| {
            down.at += 1;
            down.add_ack(envelope.into());
        });
    }

    /// Answers everything with this status, or as usual again. Questions that are held are answered now.
    pub fn answer_with(&self, status: Option<u16>) {
        self.world().faults.status = status;
        self.down.send_modify(|down| down.at += 1);
    }

    /// Waits until metadata were asked for so many times from now on.
    pub async fn renewals(&self, count: usize) {
        let mut renewals = self.renewals.subscribe();
        let goal = *renewals.borrow() + count;
        let asked = renewals.wait_for(|asked| *asked >= goal);
        let waited = tokio::time::timeout(PATIENCE, asked).await;
        waited.expect("the metadata are not asked for").unwrap();
    }

    /// Counts messages from elsewhere, as a gateway does that started again.
    pub fn recount(&self, at: u64) {
        self.down.send_modify(|down| down.at = at);
    }

    /// Takes a report in; one that is here already came again because it is not acknowledged.
    pub fn take_report(&self, bytes: &[u8]) {
        let mut world = self.world();
        let keys = world.enrolled.clone();
        let report: Report = Envelope::parse(bytes)
            .unwrap()
            .open(|id| keys.iter().find(|key| key.id() == id))
            .unwrap();
        if world.reports.contains(&report) {
            return;
        }
        world.reports.push(report);
        let count = world.reports.len();
        drop(world);
        self.reported.send_replace(count);
    }

    /// The first report that `wanted` likes, now or soon.
    pub async fn report(&self, wanted: impl Fn(&Report) -> bool) -> Report {
        let mut reported = self.reported.subscribe();
        let search = async {
            loop {
                if let Some(report) = self.world().reports.iter().find(|report| wanted(report)) {
                    return report.clone();
                }
                reported.changed().await.unwrap();
            }
        };
        match tokio::time::timeout(PATIENCE, search).await {
            Ok(report) => report,
            Err(_) => panic!("no such report among {:#?}", self.steps()),
        }
    }

    /// The first step of an assignment that `wanted` likes, now or soon.
    pub async fn step(&self, number: u128, wanted: impl Fn(&Step) -> bool) -> Step {
        let report = self
            .report(|report| {
                let progress = report.progress.as_ref();
                progress.is_some_and(|progress| {
                    progress.assignment.0 == id(number) && wanted(&progress.step)
                })
            })
            .await;
        report.progress.unwrap().step
    }

    /// The same, as an agent said it after so many starts: what earlier lives said may still be on its way.
    pub async fn step_in_life(
        &self,
        boot: u64,
        number: u128,
        wanted: impl Fn(&Step) -> bool,
    ) -> Step {
        let said = |report: &Report| {
            let progress = report.progress.as_ref();
            report.boot == boot
                && progress.is_some_and(|progress| {
                    progress.assignment.0 == id(number) && wanted(&progress.step)
                })
        };
        self.report(said).await.progress.unwrap().step
    }

    pub fn steps(&self) -> Vec<Step> {
        let world = self.world();
        let progress = world
            .reports
            .iter()
            .filter_map(|report| report.progress.clone());
        progress.map(|progress| progress.step).collect()
    }

    fn server_tls(&self, name: &str) -> ServerConfig {
        self.tls_for(name, WebPkiClientVerifier::no_client_auth())
    }

    /// TLS of a server of this name.
    pub fn tls_for(&self, name: &str, clients: Arc<dyn ClientCertVerifier>) -> ServerConfig {
        let certificate = self
            .world()
            .ca
            .issue_server(&[name.to_owned()], validity(), &SystemRandom::new())
            .unwrap();
        let chain = CertificateDer::pem_slice_iter(certificate.pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .unwrap();
        let key = PrivateKeyDer::from_pem_slice(certificate.key_pem.as_bytes()).unwrap();
        ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(clients)
            .with_single_cert(chain, key)
            .unwrap()
    }

    fn enrol(&self, request: &EnrolRequest) -> HttpResponse {
        let world = &mut *self.world();
        let (key, answer) = world.register.enrol(&world.ca, request);
        world.enrolled.push(key);
        answer
    }

    fn renew(&self, request: &[u8]) -> HttpResponse {
        let world = &mut *self.world();
        world.register.renew(&world.ca, request)
    }

    /// The answer to everything while the cloud is not itself.
    fn sick(&self) -> Option<HttpResponse> {
        let status = self.world().faults.status?;
        let status = actix_web::http::StatusCode::from_u16(status).unwrap();
        Some(HttpResponse::build(status).json(serde_json::json!({"detail": "not today"})))
    }

    fn blob(&self, digest: Digest, begins: Option<usize>) -> HttpResponse {
        let mut world = self.world();
        world.asked.push((digest, begins.unwrap_or(0) as u64));
        let Some(mut bytes) = world.mint.blobs.get(&digest).cloned() else {
            return HttpResponse::NotFound().finish();
        };
        let faults = &mut world.faults;
        if faults.flip == Some(digest) {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        }
        if faults.trickle == Some(digest) {
            let ticks = tokio::time::interval(Duration::from_millis(20));
            let now_and_then = futures::stream::unfold(ticks, async |mut ticks| {
                ticks.tick().await;
                Some((Ok::<_, std::io::Error>(Bytes::from(vec![0])), ticks))
            });
            return HttpResponse::PartialContent().streaming(Box::pin(now_and_then));
        }
        if faults.endless == Some(digest) {
            let endless = futures::stream::repeat_with(|| {
                Ok::<_, std::io::Error>(Bytes::from(vec![0; 65536]))
            });
            return HttpResponse::Ok().streaming(endless);
        }
        let begins = begins.filter(|_| !faults.no_ranges);
        let part = bytes.split_off(begins.unwrap_or(0));
        let mut response = if begins.is_some() {
            HttpResponse::PartialContent()
        } else {
            HttpResponse::Ok()
        };
        let breaks = faults
            .break_once
            .remove(&digest)
            .or(faults.break_always.get(&digest).copied());
        match breaks.filter(|at| *at < part.len()) {
            None => response.body(part),
            Some(at) => {
                let broken = Err(std::io::Error::other("the line was cut"));
                let pieces = [Ok(Bytes::copy_from_slice(&part[..at])), broken];
                response
                    .no_chunking(part.len() as u64)
                    .streaming(futures::stream::iter(pieces).then(slowly))
            }
        }
    }

    async fn next_down(&self, after: u64, wait: Duration) -> Down {
        let mut down = self.down.subscribe();
        let news = down.wait_for(|down| down.at != after);
        let _nothing_new = tokio::time::timeout(wait, news)
            .await
            .map(|found| found.map(drop));
        down.borrow().clone()
    }
}

/// Lets the first piece reach the other side before the line is cut.
async fn slowly<T>(piece: T) -> T {
    tokio::task::yield_now().await;
    piece
}

#[actix_web::main]
async fn serve(cloud: Cloud, doors: [(TcpListener, ServerConfig); 2]) {
    let mut server = HttpServer::new(move || {
        App::new()
            .app_data(Data::new(cloud.clone()))
            .route("/{door}/v1/enrol", web::post().to(enrol))
            .route("/{door}/v1/tuf/{file}", web::get().to(metadata))
            .route("/{door}/v1/blobs/{digest}", web::get().to(blob))
            .route("/{door}/v1/{tenant}/{device}/renew", web::post().to(renew))
            .route("/relay/v1/{tenant}/{device}/down", web::get().to(down))
            .route("/relay/v1/{tenant}/{device}/up", web::post().to(up))
    })
    .workers(1)
    .disable_signals();
    for (listener, tls) in doors {
        server = server.listen_rustls_0_23(listener, tls).unwrap();
    }
    server.run().await.unwrap();
}

async fn enrol(cloud: Data<Cloud>, request: web::Json<EnrolRequest>) -> HttpResponse {
    cloud.sick().unwrap_or_else(|| cloud.enrol(&request))
}

async fn renew(cloud: Data<Cloud>, request: Bytes) -> HttpResponse {
    cloud.sick().unwrap_or_else(|| cloud.renew(&request))
}

async fn metadata(cloud: Data<Cloud>, path: web::Path<(String, String)>) -> HttpResponse {
    cloud.renewals.send_modify(|asked| *asked += 1);
    if let Some(sick) = cloud.sick() {
        return sick;
    }
    let world = cloud.world();
    if world.faults.no_metadata {
        return HttpResponse::ServiceUnavailable().finish();
    }
    match world.mint.file(&path.1) {
        Some(bytes) => HttpResponse::Ok().body(bytes),
        None => HttpResponse::NotFound().finish(),
    }
}

async fn blob(
    cloud: Data<Cloud>,
    path: web::Path<(String, String)>,
    request: HttpRequest,
) -> HttpResponse {
    if let Some(sick) = cloud.sick() {
        return sick;
    }
    let range = request
        .headers()
        .get("range")
        .map(|range| range.to_str().unwrap().to_owned());
    let begins = range.map(|range| range["bytes=".len()..range.len() - 1].parse().unwrap());
    cloud.blob(path.1.parse().unwrap(), begins)
}

#[derive(serde::Deserialize)]
struct Since {
    after: u64,
    wait: u64,
}

async fn down(cloud: Data<Cloud>, since: web::Query<Since>) -> HttpResponse {
    if let Some(sick) = cloud.sick() {
        return sick;
    }
    HttpResponse::Ok().json(
        cloud
            .next_down(since.after, Duration::from_secs(since.wait))
            .await,
    )
}

async fn up(cloud: Data<Cloud>, report: Bytes) -> HttpResponse {
    if let Some(sick) = cloud.sick() {
        return sick;
    }
    cloud.take_report(&report);
    HttpResponse::Accepted().finish()
}
