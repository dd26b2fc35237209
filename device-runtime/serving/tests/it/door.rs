//! A service of a test's own, on a free port, with a client.

use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use actix_web::dev::ServerHandle;
use espalier_protocol::Digest;
use espalier_runtime::ModelFolder;
use espalier_serving::{
    Answer, HostOptions, Limits, ModelHost, Origin, Place, Service, Tier, http,
};
use tempfile::TempDir;

use crate::tiny;

/// A running service; it stops when it is dropped.
pub struct Door {
    pub service: Arc<Service>,
    pub client: reqwest::Client,
    url: String,
    handle: ServerHandle,
    thread: Option<JoinHandle<()>>,
    /// The bundles' folders, which must outlive the service.
    folders: Vec<TempDir>,
}

impl Door {
    /// A service with nothing to serve yet.
    pub fn open(options: HostOptions, limits: Limits) -> Self {
        let place = Place {
            tier: Tier::Gateway,
            name: "acme/gate".into(),
        };
        let service = Arc::new(Service::new(
            Arc::new(ModelHost::new(options)),
            place,
            limits,
        ));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (send, receive) = mpsc::channel();
        let served = Arc::clone(&service);
        let thread = thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let server = http::on_tcp(served, listener, 2).unwrap();
                send.send(server.handle()).unwrap();
                server.await.unwrap();
            });
        });
        // Only TLS would need a provider, but the client asks for one before it knows.
        let _already_there = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self {
            service,
            client,
            url,
            handle: receive.recv().unwrap(),
            thread: Some(thread),
            folders: Vec::new(),
        }
    }

    /// A service of one tiny bundle.
    pub fn serving(radius: f32, options: HostOptions, limits: Limits) -> Self {
        let mut door = Self::open(options, limits);
        door.switch_to(radius);
        door
    }

    /// Loads a tiny bundle and lets it serve.
    pub fn switch_to(&mut self, radius: f32) -> Digest {
        let folder = TempDir::new().unwrap();
        let digest = tiny::write_bundle(folder.path(), radius);
        self.switch_to_folder(folder.path());
        self.folders.push(folder);
        digest
    }

    fn switch_to_folder(&self, folder: &Path) {
        let host = self.service.host();
        let folder = ModelFolder::open(folder).unwrap();
        let candidate = host
            .load(&folder)
            .unwrap()
            .check_golden(&folder, || ())
            .unwrap();
        host.switch(candidate, Origin::default());
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// Posts a form with a picture and a prompt.
    pub async fn post_form(&self, picture: &[u8], prompt: &str) -> reqwest::Response {
        let (kind, body) = form(&[("image", picture), ("request", prompt.as_bytes())]);
        self.post(&kind, body).await
    }

    pub async fn post(&self, kind: &str, body: Vec<u8>) -> reqwest::Response {
        let request = self
            .client
            .post(self.url("/v1/models/tiny/segment"))
            .header("content-type", kind);
        request.body(body).send().await.unwrap()
    }

    pub async fn ask(&self, picture: &[u8], prompt: &str) -> Answer {
        let response = self.post_form(picture, prompt).await;
        assert_eq!(response.status(), 200);
        json(response).await
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        // Telling it is enough: the thread ends by itself.
        drop(self.handle.stop(false));
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// The content type and body of a form.
pub fn form(parts: &[(&str, &[u8])]) -> (String, Vec<u8>) {
    let mut body = Vec::new();
    for (name, content) in parts {
        body.extend(
            format!("--edge\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n").bytes(),
        );
        body.extend_from_slice(content);
        body.extend(b"\r\n");
    }
    body.extend(b"--edge--\r\n");
    ("multipart/form-data; boundary=edge".into(), body)
}

pub async fn json<T: serde::de::DeserializeOwned>(response: reqwest::Response) -> T {
    serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
}
