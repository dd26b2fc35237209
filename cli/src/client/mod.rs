//! The public API as a typed client: one connection, one token, problems as typed refusals.

mod download;
mod events;
mod refusal;
mod upload;

pub use events::Events;
pub use refusal::Refusal;

use std::time::Duration;

use espalier_api::{
    API_ROOT,
    page::Page,
    system::{ReadinessView, VersionView},
};
use reqwest::{Method, RequestBuilder, Response};
use serde::{Serialize, de::DeserializeOwned};
use url::Url;

use crate::connection::{ConnectionArgs, Target};
use crate::failure::Failure;

/// A server that does not answer the TCP handshake in this time is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Silence on an open connection for longer than this is a lost connection. It leaves a server the time to
/// inspect a large model; events keep their connection alive by themselves.
const READ_TIMEOUT: Duration = Duration::from_secs(300);

/// Where the server says whether it is ready; outside the API's root.
const READY_PATH: &str = "/readyz";
/// Where the server says what it is; outside the API's root.
const VERSION_PATH: &str = "/version";

/// One server, with the token that opens it.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    token: String,
}

impl Client {
    /// A client for the server that the flags, the environment and the files here name.
    ///
    /// # Errors
    /// When no server or token is known, or a certificate authority cannot be read.
    pub fn connect(args: &ConnectionArgs) -> Result<Self, Failure> {
        Self::to(&args.target()?)
    }

    /// A client for this server.
    ///
    /// # Errors
    /// When the token or a certificate authority cannot be read.
    pub fn to(target: &Target) -> Result<Self, Failure> {
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("espalier/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT);
        if let Some(ca) = &target.ca {
            let pem = std::fs::read(ca).map_err(Failure::reading(ca))?;
            let certificates = reqwest::Certificate::from_pem_bundle(&pem).map_err(|err| {
                Failure::usage(
                    format!("{} holds no certificates: {err}", ca.display()),
                    "name a PEM file with --ca",
                )
            })?;
            http = http.tls_certs_merge(certificates);
        }
        let http = http.build().map_err(|err| {
            Failure::usage(
                format!("no HTTP client can be made: {err}"),
                "check the system's certificate store and --ca",
            )
        })?;
        Ok(Self {
            http,
            base: target.url.clone(),
            token: target.token()?,
        })
    }

    /// The server's address.
    pub fn base(&self) -> &Url {
        &self.base
    }

    /// Reads one view.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.json(self.request(Method::GET, path)).await
    }

    /// Reads a list to its end, page by page.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn all<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, Failure> {
        self.all_after(path, None).await
    }

    /// Reads a list from a cursor to its end, page by page.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn all_after<T: DeserializeOwned>(
        &self,
        path: &str,
        cursor: Option<String>,
    ) -> Result<Vec<T>, Failure> {
        let mut items = Vec::new();
        let mut after = cursor;
        loop {
            let query = after.map(|cursor| ("after", cursor));
            let page: Page<T> = self
                .json(self.request_with(Method::GET, path, query.as_slice()))
                .await?;
            items.extend(page.items);
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(items),
            }
        }
    }

    /// Sends a request that makes or changes something, and reads the view it answers with.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        self.json(self.request(Method::POST, path).json(body)).await
    }

    /// Asks for something to be done that needs no words, and reads the view it answers with.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn act<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.json(self.request(Method::POST, path)).await
    }

    /// Replaces something, and reads the view it answers with.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        self.json(self.request(Method::PUT, path).json(body)).await
    }

    /// Events as they happen.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn events(&self, path: &str) -> Result<Events, Failure> {
        let request = self
            .request(Method::GET, path)
            .header("accept", "text/event-stream");
        Ok(Events::of(self.send(request).await?))
    }

    /// What is running; open to everybody.
    ///
    /// # Errors
    /// When the server cannot be reached, or what answers is not Espalier.
    pub async fn version(&self) -> Result<VersionView, Failure> {
        let answer = self.open(VERSION_PATH).await?;
        if answer.status().is_success() {
            self.view(answer).await
        } else {
            Err(Refusal::read(answer).await.into())
        }
    }

    /// Whether the server can do its work. "Not ready" is an answer here, not a refusal.
    ///
    /// # Errors
    /// When the server cannot be reached, or what answers is not Espalier.
    pub async fn readiness(&self) -> Result<ReadinessView, Failure> {
        let answer = self.open(READY_PATH).await?;
        self.view(answer).await
    }

    /// Asks what needs no token, so none is sent.
    async fn open(&self, path: &str) -> Result<Response, Failure> {
        self.http
            .get(self.address(path, &[]))
            .send()
            .await
            .map_err(|err| self.lost(&err))
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.request_with(method, path, &[])
    }

    fn request_with(&self, method: Method, path: &str, query: &[(&str, String)]) -> RequestBuilder {
        self.http
            .request(method, self.address(&format!("{API_ROOT}{path}"), query))
            .bearer_auth(&self.token)
    }

    fn address(&self, path: &str, query: &[(&str, String)]) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Failure> {
        let answer = self.send(request).await?;
        self.view(answer).await
    }

    async fn view<T: DeserializeOwned>(&self, answer: Response) -> Result<T, Failure> {
        let path = answer.url().path().to_owned();
        let bytes = answer.bytes().await.map_err(|err| self.lost(&err))?;
        serde_json::from_slice(&bytes).map_err(|err| {
            Refusal::foreign(path, format!("its answer cannot be read: {err}")).into()
        })
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let answer = request.send().await.map_err(|err| self.lost(&err))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        Err(Refusal::read(answer).await.into())
    }

    /// The server did not answer, or stopped in the middle.
    fn lost(&self, err: &reqwest::Error) -> Failure {
        Failure::Unreachable {
            what: format!("{} does not answer: {}", self.base, innermost(err)),
            advice: "check that the server runs (`espalier up` prints its address) and that --url names it".into(),
        }
    }
}

/// The deepest cause says what the system said; the layers above only repeat that it failed.
fn innermost(err: &dyn std::error::Error) -> String {
    let mut cause = err;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
