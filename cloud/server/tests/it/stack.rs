//! A whole control plane in this process: embedded database and broker, free ports.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use espalier_api::{
    problem::Problem,
    system::{Endpoints, ReadinessView},
};
use espalier_embedded::postgres::Programs;
use espalier_server::{
    config::{Config, ServeFlags},
    serve,
    world::World,
};
use espalier_support::wait;
use jiff::Timestamp;
use reqwest::{Method, Response, StatusCode};
use ring::rand::SystemRandom;
use serde::{Serialize, de::DeserializeOwned};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long anything may take: far more than it needs on a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running control plane; ended in order by [`Stack::stop`], or dropped.
pub struct Stack {
    pub folder: TempDir,
    pub endpoints: Endpoints,
    pub http: reqwest::Client,
    pub token: String,
    stop: CancellationToken,
    served: JoinHandle<anyhow::Result<()>>,
}

impl Stack {
    /// A new one; none where this machine has no Postgres.
    pub async fn start() -> Option<Self> {
        if Programs::find().is_err() {
            eprintln!("skipped: there is no PostgreSQL here");
            return None;
        }
        Some(Self::in_folder(tempfile::tempdir().unwrap()).await)
    }

    /// One over a state folder that may have had a life before.
    pub async fn in_folder(folder: TempDir) -> Self {
        let stack = Self::launch(folder, |_| ()).await;
        stack.ready().await;
        stack
    }

    /// A new one by a clock of the test's; none where this machine has no Postgres.
    pub async fn by(clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> Option<Self> {
        if Programs::find().is_err() {
            eprintln!("skipped: there is no PostgreSQL here");
            return None;
        }
        let world = World::new(clock, SystemRandom::new());
        let stack = Self::launch_in(world, tempfile::tempdir().unwrap(), |_| ()).await;
        stack.ready().await;
        Some(stack)
    }

    /// One with other flags, as soon as its doors are open: parts that it needs may be away.
    pub async fn launch(folder: TempDir, change: impl FnOnce(&mut ServeFlags)) -> Self {
        Self::launch_in(world(), folder, change).await
    }

    async fn launch_in(
        world: World,
        folder: TempDir,
        change: impl FnOnce(&mut ServeFlags),
    ) -> Self {
        // Another test may have been first.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut flags = flags(folder.path());
        change(&mut flags);
        let config = Config::load(&flags).unwrap();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let mut served = tokio::spawn(async move { serve::serve(&config, world, stopped).await });
        let endpoints = tokio::select! {
            endpoints = eventually("the addresses", async || read_endpoints(folder.path())) => endpoints,
            ended = &mut served => panic!("the server ended: {ended:?}"),
        };
        let token = std::fs::read_to_string(&endpoints.admin_token_file)
            .unwrap()
            .trim()
            .to_owned();
        Self {
            folder,
            endpoints,
            http: reqwest::Client::new(),
            token,
            stop,
            served,
        }
    }

    /// Waits until every part answers.
    pub async fn ready(&self) {
        eventually("the server to be ready", async || {
            self.readiness().await.ready.then_some(())
        })
        .await;
    }

    /// Waits until one part is said to be away; the process is alive all the same. Gives its words.
    pub async fn misses(&self, part: &str) -> String {
        let problem = eventually("the server to miss a part", async || {
            let parts = self.readiness().await.parts;
            let mut away = parts.into_iter().filter(|part| !part.ready);
            away.find(|away| away.name == part)?.problem
        })
        .await;
        let alive = self
            .http
            .get(format!("{}/healthz", self.endpoints.api))
            .send();
        assert_eq!(alive.await.unwrap().status(), StatusCode::OK);
        problem
    }

    async fn readiness(&self) -> ReadinessView {
        let answer = self
            .http
            .get(format!("{}/readyz", self.endpoints.api))
            .send()
            .await
            .unwrap();
        let status = answer.status();
        let view: ReadinessView = answer.json().await.unwrap();
        let expected = if view.ready {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        assert_eq!(status, expected);
        view
    }

    /// How a server ends that cannot start with the keys of its folder.
    pub async fn refused(folder: &Path, key_passphrase_file: Option<PathBuf>) -> anyhow::Error {
        let flags = ServeFlags {
            key_passphrase_file,
            ..flags(folder)
        };
        let config = Config::load(&flags).unwrap();
        let served = serve::serve(&config, world(), CancellationToken::new());
        served.await.unwrap_err()
    }

    /// How another server over the same folder ends.
    pub async fn second(&self) -> anyhow::Result<()> {
        let config = Config::load(&flags(self.folder.path()))?;
        serve::serve(&config, world(), CancellationToken::new()).await
    }

    /// Ends it as SIGTERM does; the folder is left.
    pub async fn stop(self) -> TempDir {
        self.stop.cancel();
        self.served.await.unwrap().unwrap();
        self.folder
    }

    /// Calls the API with the admin's token.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Response {
        let request = self
            .http
            .request(method, format!("{}/api/v1{path}", self.endpoints.api))
            .bearer_auth(&self.token);
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        request.send().await.unwrap()
    }

    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> T {
        read(self.call(Method::GET, path, None::<&()>).await).await
    }

    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> T {
        read(self.call(Method::POST, path, Some(body)).await).await
    }
}

async fn read<T: DeserializeOwned>(answer: Response) -> T {
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    assert!(status.is_success(), "{status}: {text}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A server over this folder, on free ports.
fn flags(state: &Path) -> ServeFlags {
    let any = || Some("127.0.0.1:0".to_owned());
    ServeFlags {
        state: Some(state.to_owned()),
        listen: any(),
        device_listen: any(),
        broker_listen: any(),
        ..ServeFlags::default()
    }
}

/// The problem that a call was refused with.
pub async fn problem(answer: Response) -> Problem {
    let kind = answer.headers()["content-type"]
        .to_str()
        .unwrap()
        .to_owned();
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    assert_eq!(kind, "application/problem+json", "{status}: {text}");
    let problem: Problem = serde_json::from_str(&text).unwrap();
    assert_eq!(problem.status, status.as_u16());
    problem
}

/// Waits for a level, never an edge.
pub async fn eventually<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    wait::until(what, PATIENCE, || async { Ok(look().await) })
        .await
        .unwrap()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a server of a test lives in real time"
)]
pub fn now() -> Timestamp {
    Timestamp::now()
}

fn world() -> World {
    World::new(now, SystemRandom::new())
}

fn read_endpoints(state: &Path) -> Option<Endpoints> {
    serde_json::from_slice(&std::fs::read(state.join("endpoints.json")).ok()?).ok()
}
