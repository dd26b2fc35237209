//! From a configuration to parts that run, in the order in which they need one another.

use std::{
    net::{IpAddr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use anyhow::Context as _;
use espalier_api::system::Endpoints;
use espalier_embedded::{
    broker::{BrokerConfig, EmbeddedBroker},
    postgres::{EmbeddedPostgres, PostgresConfig},
};
use espalier_trust::ca::ServerCertificate;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::doors::{DoorTls, Listeners};
use crate::{
    authority::Authority,
    bells::Bells,
    blobs::Blobs,
    bridge::{
        Alarm, Alarms, Broker, Directory, Doorkeeper, EmbeddedLink, ExternalLink, Identity, Queue,
        Uplink,
    },
    catalogue::Catalogue,
    cloud::{Addresses, Cloud, JOBS_FOLDER, Settings},
    config::{BrokerChoice, Config, DatabaseChoice, TlsFiles},
    door,
    last_edition::LastEditions,
    metrics::Metrics,
    passphrase::Passphrase,
    principal::{ADMIN_TOKEN_FILE, admin_token, write_private},
    readiness::{Part, Readiness},
    reconcile::Bootstrap,
    usecase::sweep_imports,
    world::World,
};

/// The file that says where the doors are.
const ENDPOINTS_FILE: &str = "endpoints.json";
/// The most devices of the embedded broker; more is what external brokers are for.
const MAX_CONNECTIONS: usize = 20_000;

/// Parts that run, and what is needed to open the doors.
pub struct Started {
    /// The cloud.
    pub cloud: Arc<Cloud>,
    /// Bound ports.
    pub listeners: Listeners,
    /// TLS of the doors.
    pub tls: DoorTls,
    /// Where the doors are.
    pub endpoints: Endpoints,
    /// What has to be done once the database answers.
    pub bootstrap: Bootstrap,
    /// The way up, and what came up and is not stored.
    pub uplink: Uplink,
    /// Reports that wait to be stored.
    pub queue: Queue,
    /// Clones that wait for their quarantine.
    pub alarms: Alarms,
    /// The connection to an external broker.
    pub external: Option<ExternalLink>,
    /// Parts of this process that are stopped last.
    pub embedded: Embedded,
}

/// Parts that only this process has.
pub struct Embedded {
    postgres: Option<EmbeddedPostgres>,
    broker: Option<Arc<EmbeddedBroker>>,
}

impl Embedded {
    /// Stops broker and database in order.
    pub async fn stop(self) {
        if let Some(broker) = &self.broker {
            broker.stop().await;
        }
        if let Some(postgres) = self.postgres {
            postgres.stop().await;
        }
    }
}

/// Starts every part but the doors.
///
/// # Errors
/// What only a person can mend, in words for that person.
pub async fn start(
    config: &Config,
    world: World,
    stopping: CancellationToken,
) -> anyhow::Result<Started> {
    withdraw_endpoints(&config.state)?;
    let authority = Passphrase::find(config.key_passphrase_file.as_deref())
        .and_then(|passphrase| Authority::open(&config.state, passphrase, &world))
        .map_err(explained)
        .context("the keys cannot be opened")?;
    let admin_token = admin_token(&config.state, &world)
        .map_err(explained)
        .context("the admin token cannot be opened")?;
    let blobs = Blobs::in_folder(&config.in_state("blobs"))
        .map_err(explained)
        .context("the blobs cannot be opened")?;
    let last_editions = LastEditions::in_folder(&config.in_state("editions"))
        .context("the folder of the last editions cannot be made")?;
    sweep_imports(&config.in_state(JOBS_FOLDER))
        .context("what earlier imports left cannot be removed")?;
    let listeners = Listeners {
        api: bind("the API", config.api.listen)?,
        door: bind("the device door", config.device_listen)?,
    };
    let certificate = authority
        .door_certificate(&door_names(config), &world)
        .map_err(explained)?;
    let tls = DoorTls {
        api: config.api.tls.as_ref().map(api_tls).transpose()?,
        door: door::server_config(&certificate, authority.ca.certificate_pem())?,
    };
    let postgres = start_postgres(config).await?;
    let database_url = match (&config.database, &postgres) {
        (DatabaseChoice::External(url), _) => url.clone(),
        (DatabaseChoice::Embedded, postgres) => postgres
            .as_ref()
            .map_or_else(String::new, |server| server.url("postgres")),
    };

    let (metrics, readiness, bells) = (
        Arc::new(Metrics::new()),
        Arc::new(Readiness::starting()),
        Bells::default(),
    );
    let database = Arc::new(OnceLock::new());
    let directory = Directory::new(Arc::clone(&database));
    let (uplink, queue) = Uplink::new(directory.clone(), Arc::clone(&metrics), world.clone());
    let broker = Broker::absent();
    let (alarm, alarms) = Alarm::new();
    let guard = Doorkeeper {
        directory: directory.clone(),
        uplink: uplink.clone(),
        alarm,
    };
    let wired = wire_broker(config, &certificate, &authority, guard).await?;
    if let Some(embedded) = &wired.embedded {
        broker.came(Arc::new(EmbeddedLink(Arc::clone(embedded))));
        readiness.up(Part::Broker, &metrics);
    }
    let door_url = url(&format!(
        "https://{}:{}/",
        config.public_host,
        listeners.door.local_addr()?.port()
    ))?;
    let endpoints = Endpoints {
        api: api_url(&listeners.api, config)?,
        device_door: door_url.to_string(),
        broker: wired.url.to_string(),
        admin_token_file: config.in_state(ADMIN_TOKEN_FILE).display().to_string(),
        pid: std::process::id(),
    };
    let cloud = Arc::new(Cloud {
        database,
        blobs,
        authority,
        last_editions,
        world,
        broker,
        directory,
        catalogue: Catalogue::default(),
        bells,
        metrics,
        readiness,
        addresses: Addresses {
            door: door_url,
            broker: wired.url,
            broker_ca_pem: wired.ca_pem,
        },
        settings: Settings::new(config)?,
        stopping,
    });
    let bootstrap = Bootstrap {
        database_url,
        admin_token,
    };
    let embedded = Embedded {
        postgres,
        broker: wired.embedded,
    };
    Ok(Started {
        cloud,
        listeners,
        tls,
        endpoints,
        bootstrap,
        uplink,
        queue,
        alarms,
        external: wired.external,
        embedded,
    })
}

async fn start_postgres(config: &Config) -> anyhow::Result<Option<EmbeddedPostgres>> {
    if config.database != DatabaseChoice::Embedded {
        return Ok(None);
    }
    let server = EmbeddedPostgres::start(PostgresConfig::new(config.in_state("postgres"))).await?;
    Ok(Some(server))
}

/// A broker as far as it can be set up before anybody connects.
struct Wired {
    url: Url,
    /// Its certificate authority, where that is not the device CA.
    ca_pem: Option<String>,
    embedded: Option<Arc<EmbeddedBroker>>,
    external: Option<ExternalLink>,
}

async fn wire_broker(
    config: &Config,
    certificate: &ServerCertificate,
    authority: &Authority,
    guard: Doorkeeper,
) -> anyhow::Result<Wired> {
    match &config.broker {
        BrokerChoice::External(external) => {
            let ca_pem = external.ca.as_deref().map(read_ca).transpose()?;
            let identity = Identity {
                ca_pem: ca_pem
                    .clone()
                    .unwrap_or_else(|| authority.ca.certificate_pem().to_owned()),
                certificate_pem: certificate.pem.clone(),
                key_pem: certificate.key_pem.clone(),
            };
            let link = ExternalLink::new(&external.url, &identity)?;
            Ok(Wired {
                url: external.url.clone(),
                ca_pem,
                embedded: None,
                external: Some(link),
            })
        }
        BrokerChoice::Embedded { listen } => {
            let files = write_tls(&config.in_state("tls"), certificate, authority)?;
            let broker = EmbeddedBroker::start(files.broker(*listen), Arc::new(guard)).await?;
            let address = url(&format!(
                "mqtts://{}:{}",
                config.public_host,
                broker.address().port()
            ))?;
            Ok(Wired {
                url: address,
                ca_pem: None,
                embedded: Some(Arc::new(broker)),
                external: None,
            })
        }
    }
}

fn read_ca(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))
}

/// TLS files on disk, for parts that read no memory.
struct TlsFolder {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: PathBuf,
}

impl TlsFolder {
    fn broker(self, listen: SocketAddr) -> BrokerConfig {
        BrokerConfig {
            listen,
            certificate: self.certificate,
            key: self.key,
            client_ca: self.client_ca,
            max_connections: MAX_CONNECTIONS,
        }
    }
}

fn write_tls(
    folder: &Path,
    certificate: &ServerCertificate,
    authority: &Authority,
) -> anyhow::Result<TlsFolder> {
    make_private(folder)?;
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        write_private(&path, text.as_bytes())
            .with_context(|| format!("{} cannot be written", path.display()))?;
        anyhow::Ok(path)
    };
    Ok(TlsFolder {
        certificate: write("server.pem", &certificate.pem)?,
        key: write("server.key.pem", &certificate.key_pem)?,
        client_ca: write("device-ca.pem", authority.ca.certificate_pem())?,
    })
}

fn api_tls(files: &TlsFiles) -> anyhow::Result<rustls::ServerConfig> {
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("{} is no certificate chain", files.certificate.display()))?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .with_context(|| format!("{} is no key", files.key.display()))?;
    Ok(rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)?)
}

/// The names under which devices reach the cloud; loopback always, for the same machine.
fn door_names(config: &Config) -> Vec<String> {
    let mut names = vec![
        config.public_host.clone(),
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
    ];
    let listen = config.device_listen.ip();
    if !listen.is_unspecified() {
        names.push(listen.to_string());
    }
    names.sort_unstable();
    names.dedup();
    names
}

fn bind(what: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).with_context(|| {
        format!(
            "{what} cannot listen on {address}; choose another address, or port 0 for any free port"
        )
    })?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn api_url(listener: &TcpListener, config: &Config) -> anyhow::Result<String> {
    let address = listener.local_addr()?;
    let host = match address.ip() {
        ip if ip.is_unspecified() => config.public_host.clone(),
        IpAddr::V6(ip) => format!("[{ip}]"),
        ip => ip.to_string(),
    };
    let scheme = if config.api.tls.is_some() {
        "https"
    } else {
        "http"
    };
    Ok(format!("{scheme}://{host}:{}", address.port()))
}

fn url(text: &str) -> anyhow::Result<Url> {
    Url::parse(text).with_context(|| format!("`{text}` is no address; check the public host"))
}

/// Makes the state folder, for its owner only.
///
/// # Errors
/// When it cannot be made.
pub fn make_private(folder: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("the folder {} cannot be made", folder.display()))
}

/// Addresses of an earlier life would lead readers astray.
pub fn withdraw_endpoints(state: &Path) -> anyhow::Result<()> {
    let path = state.join(ENDPOINTS_FILE);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", path.display()))
        }
        _ => Ok(()),
    }
}

/// Says where the doors are: complete, or not at all.
pub fn publish_endpoints(state: &Path, endpoints: &Endpoints) -> anyhow::Result<()> {
    let path = state.join(ENDPOINTS_FILE);
    write_private(&path, &serde_json::to_vec_pretty(endpoints)?)
        .with_context(|| format!("{} cannot be written", path.display()))
}

/// At start a person reads the cause, not a client.
fn explained(refusal: crate::refusal::Refusal) -> anyhow::Error {
    match refusal.causes() {
        causes if causes.is_empty() => anyhow::anyhow!(refusal.detail),
        causes => anyhow::anyhow!(causes),
    }
}
