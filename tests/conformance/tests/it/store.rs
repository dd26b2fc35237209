//! A store that was damaged between two commands remembers what it saw, or says that it does not.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use espalier_trust::keys::KeyFolder;
use espalier_trust::tuf::{TargetFile, TrustedRoot, read_targets};
use espalier_trust::tuf::{sign_snapshot, sign_targets, sign_timestamp};
use espalier_trust::{FirstEdition, Lifetimes, OfflineKeys, OnlineKeys, first_edition};
use jiff::Timestamp;
use tempfile::TempDir;

#[test]
fn store_file_truncated_between_two_commands_does_not_forget_the_rollback_floor() {
    let published = Repository::new();
    let device = Device::trusting(&published);
    assert!(device.refresh(&published), "the first edition is taken");
    published.publish_second_edition();
    assert!(device.refresh(&published), "the second edition is taken");
    published.publish_first_edition();
    let (one, other) = ("metadata", "metadata.copy");
    for damaged in [&[one][..], &[other], &[one, other]] {
        for copy in damaged {
            fs::write(device.store().join(copy), b"").unwrap();
        }
        assert!(!device.refresh(&published), "an older edition is refused");
    }
    let trusted = fs::read(device.folder.path().join("timestamp.json")).unwrap();
    assert_ne!(trusted, published.first.timestamp.bytes);
}

/// A folder of metadata behind HTTP, and the keys that sign it.
struct Repository {
    served: TempDir,
    offline: OfflineKeys,
    online: OnlineKeys,
    first: FirstEdition,
    address: SocketAddr,
}

impl Repository {
    fn new() -> Self {
        let served = TempDir::new().unwrap();
        let keys = KeyFolder::new(served.path().join("keys"));
        keys.complete_for_development(&ring::rand::SystemRandom::new())
            .unwrap();
        let offline = OfflineKeys::open(&keys, None).unwrap();
        let online = OnlineKeys::open(&keys, None).unwrap();
        let first = first_edition(&offline, &online, &Lifetimes::default(), now()).unwrap();
        let repository = Self {
            address: serve(served.path().to_owned()),
            served,
            offline,
            online,
            first,
        };
        repository.write("1.targets.json", &repository.first.targets.bytes);
        repository.write("1.snapshot.json", &repository.first.snapshot.bytes);
        repository.publish_first_edition();
        repository
    }

    fn publish_first_edition(&self) {
        self.write("timestamp.json", &self.first.timestamp.bytes);
    }

    fn publish_second_edition(&self) {
        let root = TrustedRoot::read(&self.first.root.bytes).unwrap();
        let first = read_targets(&root, &self.first.targets.bytes).unwrap();
        let expires = self.first.snapshot.expires;
        let version = self.first.snapshot.version.checked_add(1).unwrap();
        let file = TargetFile::new("release.sam.one.json", b"one").unwrap();
        let signers = [&*self.offline.targets];
        let targets = sign_targets(&root, Some(&first), &[file], expires, &signers).unwrap();
        let named = read_targets(&root, &targets.bytes).unwrap();
        let snapshot =
            sign_snapshot(&root, &named, version, expires, &*self.online.snapshot).unwrap();
        let timestamp =
            sign_timestamp(&root, &snapshot, version, expires, &*self.online.timestamp).unwrap();
        self.write("2.targets.json", &targets.bytes);
        self.write("2.snapshot.json", &snapshot.bytes);
        self.write("timestamp.json", &timestamp.bytes);
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.served.path().join(name), bytes).unwrap();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the client under test reads the real clock"
)]
fn now() -> Timestamp {
    Timestamp::now()
}

fn serve(folder: PathBuf) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || actix_web::rt::System::new().block_on(run(listener, folder)));
    address
}

async fn run(listener: TcpListener, folder: PathBuf) -> std::io::Result<()> {
    let app = move || {
        App::new()
            .app_data(web::Data::new(folder.clone()))
            .default_service(web::get().to(file))
    };
    HttpServer::new(app)
        .workers(1)
        .listen(listener)?
        .run()
        .await
}

async fn file(request: HttpRequest, folder: web::Data<PathBuf>) -> HttpResponse {
    match fs::read(folder.join(request.path().trim_start_matches('/'))) {
        Ok(bytes) => HttpResponse::Ok().body(bytes),
        Err(_) => HttpResponse::NotFound().finish(),
    }
}

/// The client under test, with its folder.
struct Device {
    folder: TempDir,
}

impl Device {
    fn trusting(repository: &Repository) -> Self {
        let device = Self {
            folder: TempDir::new().unwrap(),
        };
        let root = device.folder.path().join("first-root");
        fs::write(&root, &repository.first.root.bytes).unwrap();
        assert!(device.run(&["init", root.to_str().unwrap()]));
        device
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    fn refresh(&self, repository: &Repository) -> bool {
        let url = format!("http://{}", repository.address);
        self.run(&["--metadata-url", &url, "refresh"])
    }

    fn run(&self, arguments: &[&str]) -> bool {
        Command::new(Path::new(env!("CARGO_BIN_EXE_espalier-tuf-client")))
            .arg("--metadata-dir")
            .arg(self.folder.path())
            .args(arguments)
            .status()
            .unwrap()
            .success()
    }
}
