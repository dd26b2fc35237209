//! A gateway's agent as a process of its own, and children that ask at its LAN door.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::Duration;

use espalier_link::door::BlobStream;
use espalier_link::{Door, DoorError, Identity, StateFolder, Wish, enrol};
use espalier_protocol::claim::Uplink;
use espalier_protocol::enrol::Role;
use espalier_protocol::inventory::Inventory;
use espalier_protocol::{DeviceIdentity, Digest};
use espalier_slots::Disk;
use espalier_support::wait;
use ring::rand::SystemRandom;
use tempfile::TempDir;
use url::Url;

use crate::cloud::Cloud;
use crate::mint::{class, name, noon};
use crate::{Agent, text};

/// How long a test waits for something that must happen.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A gateway of the cloud. Its agent ends with it.
pub struct Gateway {
    agent: Agent,
    process: Option<Child>,
}

fn gate() -> DeviceIdentity {
    name("acme/gate-1")
}

async fn enrolled(cloud: &Cloud, folder: &TempDir, device: &str, uplink: Uplink) -> Identity {
    let role = match uplink {
        Uplink::Cloud { .. } => Role::Gateway,
        Uplink::Gateway { .. } => Role::Device,
    };
    let wish = Wish {
        device: name(device),
        class: class(),
        role,
        inventory: Inventory::default(),
        development_trust: true,
        again: false,
    };
    let (state, claim) = (StateFolder::new(folder.path()), cloud.claim(uplink));
    let (files, random) = (Arc::new(Disk), SystemRandom::new());
    enrol(files, &state, &claim, &wish, noon(), &random)
        .await
        .unwrap()
}

impl Gateway {
    /// A running gateway whose cache has so many bytes.
    pub async fn running(cloud: &Cloud, cache_bytes: u64) -> Self {
        let agent = Agent::new();
        enrolled(cloud, &agent.state, "gate-1", cloud.uplink()).await;
        agent.file(
            "agent.toml",
            &format!("[relay]\ncache_bytes = {cache_bytes}\n"),
        );
        let mut gateway = Self {
            agent,
            process: None,
        };
        gateway.restart().await;
        gateway
    }

    /// Kills the agent, does something to its cache, and starts it again.
    pub async fn restart_after(&mut self, change: impl FnOnce(&PathBuf)) {
        self.kill();
        change(&self.cache());
        self.restart().await;
    }

    async fn restart(&mut self) {
        let _none_yet = fs::remove_file(self.agent.state.path().join("doors.json"));
        let config = text(&self.agent.state.path().join("agent.toml"));
        let local = ["--listen", "127.0.0.1:0", "--relay-listen", "127.0.0.1:0"];
        let process = self
            .agent
            .command(&["run", "--development-trust", "--config", &config])
            .args(local)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.process = Some(process.unwrap());
        let open = wait::until("the agent's doors", PATIENCE, || async { Ok(self.port()) });
        open.await.unwrap();
    }

    fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    fn port(&self) -> Option<u16> {
        let doors = fs::read(self.agent.state.path().join("doors.json")).ok()?;
        let doors: serde_json::Value = serde_json::from_slice(&doors).ok()?;
        let (_, port) = doors["relay"].as_str()?.rsplit_once(':')?;
        port.parse().ok()
    }

    fn cache(&self) -> PathBuf {
        self.agent.state.path().join("relay")
    }

    /// What the cache's folder holds: names, and bytes in all.
    pub fn shelf(&self) -> (Vec<String>, u64) {
        let files = fs::read_dir(self.cache()).unwrap().map(Result::unwrap);
        let (mut names, mut bytes) = (Vec::new(), 0);
        for file in files {
            names.push(file.file_name().into_string().unwrap());
            bytes += file.metadata().unwrap().len();
        }
        names.sort();
        (names, bytes)
    }

    /// A child's way to this gateway, enrolled through it.
    pub async fn child(&self, cloud: &Cloud, device: &str) -> Asker {
        let port = self.port().unwrap();
        let door: Url = format!("https://127.0.0.1:{port}/").parse().unwrap();
        let uplink = Uplink::Gateway {
            door,
            gateway: gate(),
        };
        let folder = TempDir::new().unwrap();
        let identity = enrolled(cloud, &folder, device, uplink).await;
        Asker(Door::open(&identity).unwrap())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A child that asks.
pub struct Asker(pub Door);

/// What a child got.
#[derive(Debug)]
pub struct Got {
    pub begins: u64,
    pub bytes: Vec<u8>,
    /// Whether the bytes came to their end.
    pub whole: bool,
}

impl Asker {
    /// Everything from `at` on, or as much as comes. A fetch that fails early enough is an answer without a byte.
    pub async fn read(&self, digest: Digest, at: u64) -> Got {
        let (begins, mut stream) = match self.0.blob_from(&digest, at).await {
            Ok(answer) => answer,
            Err(error) if error.is_passing() => {
                return Got {
                    begins: at,
                    bytes: Vec::new(),
                    whole: false,
                };
            }
            Err(error) => panic!("{error}"),
        };
        let mut bytes = Vec::new();
        let whole = loop {
            match stream.next().await {
                Ok(Some(piece)) => bytes.extend_from_slice(&piece),
                Ok(None) => break true,
                Err(_broken) => break false,
            }
        };
        Got {
            begins,
            bytes,
            whole,
        }
    }

    /// A whole blob.
    pub async fn take(&self, digest: Digest) -> Vec<u8> {
        let got = self.read(digest, 0).await;
        assert!(got.whole, "it broke off after {} bytes", got.bytes.len());
        got.bytes
    }

    /// The status of a refusal.
    pub async fn refused(&self, digest: Digest) -> u16 {
        match self.0.blob_from(&digest, 0).await {
            Err(DoorError::Status { status, .. }) => status,
            other => panic!("not refused: {other:?}"),
        }
    }
}

/// At least so many bytes of a stream, while it may be held.
pub async fn at_least(stream: &mut BlobStream, enough: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < enough {
        let piece = tokio::time::timeout(PATIENCE, stream.next()).await;
        let piece = piece.expect("nothing came while the blob was on its way");
        bytes.extend_from_slice(&piece.unwrap().expect("the stream ended"));
    }
    bytes
}
