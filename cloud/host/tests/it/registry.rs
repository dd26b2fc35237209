use std::fs;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use espalier_protocol::Digest;
use espalier_serving::Answer;
use espalier_support::wait;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{Host, PATIENCE};
use crate::{model, text};

const FIRST: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
const SECOND: &str = "01890a5d-ac96-774b-bcce-b302099a8058";
const THIRD: &str = "01890a5d-ac96-774b-bcce-b302099a8059";
const FOURTH: &str = "01890a5d-ac96-774b-bcce-b302099a805a";
const FIFTH: &str = "01890a5d-ac96-774b-bcce-b302099a805b";

/// The part of the cloud's API that a host reads.
#[derive(Default)]
struct Registry {
    models: Vec<Published>,
    blobs: Vec<(Digest, Vec<u8>)>,
    /// The blobs that were asked for.
    asked: Vec<Digest>,
}

struct Published {
    name: &'static str,
    latest: String,
    version: Value,
}

impl Registry {
    /// Makes this the newest version of the tiny model.
    fn publish(&mut self, version: &str, folder: &TempDir) {
        self.publish_as("tiny", version, folder);
    }

    /// Makes this the newest version of a model. Models come in the order in which they were published.
    fn publish_as(&mut self, name: &'static str, version: &str, folder: &TempDir) {
        let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
        let files = ["encoder.onnx", "decoder.onnx"].map(|name| (name, read(name)));
        let description = read("model.json");
        self.models.retain(|model| model.name != name);
        self.models.push(Published {
            name,
            latest: version.into(),
            version: json!({
                "description": Digest::of(&description),
                "files": files.each_ref().map(|(name, bytes)| {
                    json!({ "path": name, "size": bytes.len(), "digest": Digest::of(bytes) })
                }),
            }),
        });
        let all = files
            .into_iter()
            .map(|(_, bytes)| bytes)
            .chain([description]);
        self.blobs
            .extend(all.map(|bytes| (Digest::of(&bytes), bytes)));
    }

    /// What a host is told of, and what it gets.
    fn answer(&mut self, path: &str) -> HttpResponse {
        match path.split_once('/') {
            None => {
                let models = self.models.iter();
                let items: Vec<Value> = models
                    .map(|model| json!({ "name": model.name, "latest_version": model.latest }))
                    .collect();
                HttpResponse::Ok().json(json!({ "items": items }))
            }
            Some(("model-versions", id)) => {
                let model = self.models.iter().find(|model| model.latest == id);
                HttpResponse::Ok().json(&model.unwrap().version)
            }
            Some((_, digest)) => {
                let known = self
                    .blobs
                    .iter()
                    .find(|(known, _)| known.to_string() == digest);
                let Some((digest, bytes)) = known else {
                    return HttpResponse::NotFound().finish();
                };
                self.asked.push(*digest);
                HttpResponse::Ok().body(bytes.clone())
            }
        }
    }

    fn times_asked_for(&self, digest: Digest) -> usize {
        self.asked.iter().filter(|asked| **asked == digest).count()
    }
}

type Shared = Arc<Mutex<Registry>>;

async fn answer(registry: web::Data<Mutex<Registry>>, request: HttpRequest) -> HttpResponse {
    if request
        .headers()
        .get("authorization")
        .is_none_or(|token| token != "Bearer secret")
    {
        return HttpResponse::Unauthorized().finish();
    }
    let path = request.path().strip_prefix("/api/v1/").unwrap();
    registry.lock().unwrap().answer(path)
}

/// Serves a registry until the test's process ends; gives its address.
fn serve(registry: Shared) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        actix_web::rt::System::new().block_on(async move {
            let data = web::Data::from(registry);
            let app = move || {
                App::new()
                    .app_data(data.clone())
                    .default_service(web::to(answer))
            };
            let server = HttpServer::new(app)
                .workers(1)
                .disable_signals()
                .listen(listener)
                .unwrap()
                .run();
            send.send(()).unwrap();
            server.await.unwrap();
        });
    });
    receive.recv().unwrap();
    address
}

/// A host that follows this registry, and the folder of its token.
async fn follow(registry: &Shared) -> (Host, TempDir) {
    let scratch = TempDir::new().unwrap();
    let token = scratch.path().join("token");
    fs::write(&token, "secret\n").unwrap();
    let cloud = serve(Arc::clone(registry));
    let host = Host::start(&[
        "--cloud",
        &cloud,
        "--token-file",
        &text(&token),
        "--follow",
        "1",
    ])
    .await;
    (host, scratch)
}

/// Asks until the host answers with this version.
async fn until_served(host: &Host, version: &str) -> Answer {
    let served = wait::until(version, PATIENCE, || async {
        let answer = host.try_ask::<Answer>("tiny").await;
        Ok(answer.filter(|answer| answer.model_version.unwrap().to_string() == version))
    });
    served.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_version_is_followed() {
    let registry = Shared::default();
    registry.lock().unwrap().publish(FIRST, &model(8.0));
    let (host, _scratch) = follow(&registry).await;
    let first: Answer = host.ask("tiny").await;
    assert_eq!(first.model_version.unwrap().to_string(), FIRST);

    registry.lock().unwrap().publish(SECOND, &model(14.0));
    let second = until_served(&host, SECOND).await;
    assert!(second.masks[0].area > first.masks[0].area);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_cannot_be_served_stops_no_other() {
    let unserved = model(8.0);
    let description = json!({
        "format": 1,
        "model": "attic",
        "serving": { "task": "tensor", "graph": "encoder.onnx" },
    });
    fs::write(unserved.path().join("model.json"), description.to_string()).unwrap();
    let broken = model(9.0);
    fs::write(broken.path().join("encoder.onnx"), "no graph").unwrap();

    let registry = Shared::default();
    {
        let mut registry = registry.lock().unwrap();
        registry.publish_as("attic", THIRD, &unserved);
        registry.publish_as("broken", FOURTH, &broken);
        registry.publish(FIRST, &model(12.0));
    }
    let (host, _scratch) = follow(&registry).await;
    let answer: Answer = host.ask("tiny").await;
    assert_eq!(answer.model_version.unwrap().to_string(), FIRST);

    // Two more looks at the registry.
    for (version, radius) in [(SECOND, 14.0), (FIFTH, 8.5)] {
        registry.lock().unwrap().publish(version, &model(radius));
        until_served(&host, version).await;
    }
    let registry = registry.lock().unwrap();
    assert_eq!(registry.times_asked_for(Digest::of(b"no graph")), 1);
    assert_eq!(
        registry.times_asked_for(Digest::of(description.to_string().as_bytes())),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_not_what_their_digest_says_never_serve() {
    let registry = Shared::default();
    registry.lock().unwrap().publish(FIRST, &model(8.0));
    registry.lock().unwrap().blobs[0].1[40] ^= 1;
    let (host, _scratch) = follow(&registry).await;
    assert!(host.try_ask::<Answer>("tiny").await.is_none());

    // The cloud mends its disk.
    registry.lock().unwrap().blobs[0].1[40] ^= 1;
    until_served(&host, FIRST).await;
}

#[test]
fn the_token_never_travels_in_clear_text() {
    let scratch = TempDir::new().unwrap();
    let token = scratch.path().join("token");
    fs::write(&token, "secret").unwrap();
    let cloud = "http://192.0.2.1:7070";
    let (ended, words) = Host::fail(&["--cloud", cloud, "--token-file", &text(&token)]);
    assert!(!ended.success() && words.contains("clear text"), "{words}");
}
