use std::fs;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use espalier_protocol::Digest;
use espalier_serving::Answer;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::Host;
use crate::{model, text};

const FIRST: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
const SECOND: &str = "01890a5d-ac96-774b-bcce-b302099a8058";

/// The part of the cloud's API that a host reads, with one model in one version.
#[derive(Default)]
struct Registry {
    latest: String,
    version: Value,
    blobs: Vec<(Digest, Vec<u8>)>,
}

impl Registry {
    fn publish(&mut self, version: &str, folder: &TempDir) {
        let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
        let files = ["encoder.onnx", "decoder.onnx"].map(|name| (name, read(name)));
        let description = read("model.json");
        self.latest = version.into();
        self.version = json!({
            "description": Digest::of(&description),
            "files": files.each_ref().map(|(name, bytes)| {
                json!({ "path": name, "size": bytes.len(), "digest": Digest::of(bytes) })
            }),
        });
        let all = files
            .into_iter()
            .map(|(_, bytes)| bytes)
            .chain([description]);
        self.blobs = all.map(|bytes| (Digest::of(&bytes), bytes)).collect();
    }
}

type Shared = Arc<Mutex<Registry>>;

async fn answer(registry: web::Data<Mutex<Registry>>, request: HttpRequest) -> HttpResponse {
    let registry = registry.lock().unwrap();
    if request
        .headers()
        .get("authorization")
        .is_none_or(|token| token != "Bearer secret")
    {
        return HttpResponse::Unauthorized().finish();
    }
    let path = request.path().strip_prefix("/api/v1/").unwrap();
    match path.split_once('/') {
        None => HttpResponse::Ok()
            .json(json!({ "items": [{ "name": "tiny", "latest_version": registry.latest }] })),
        Some(("model-versions", _)) => HttpResponse::Ok().json(&registry.version),
        Some((_, digest)) => match registry
            .blobs
            .iter()
            .find(|(known, _)| known.to_string() == digest)
        {
            Some((_, bytes)) => HttpResponse::Ok().body(bytes.clone()),
            None => HttpResponse::NotFound().finish(),
        },
    }
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

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_version_is_followed() {
    let registry = Shared::default();
    registry.lock().unwrap().publish(FIRST, &model(8.0));
    let scratch = TempDir::new().unwrap();
    let token = scratch.path().join("token");
    fs::write(&token, "secret\n").unwrap();
    let cloud = serve(Arc::clone(&registry));
    let host = Host::start(&[
        "--cloud",
        &cloud,
        "--token-file",
        &text(&token),
        "--follow",
        "1",
    ]);
    let first: Answer = host.ask("tiny").await;
    assert_eq!(first.model_version.unwrap().to_string(), FIRST);

    registry.lock().unwrap().publish(SECOND, &model(14.0));
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let answer: Answer = host.ask("tiny").await;
        if answer.model_version.unwrap().to_string() == SECOND {
            assert!(answer.masks[0].area > first.masks[0].area);
            return;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "the second version was not followed"
        );
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[test]
fn bytes_that_are_not_what_their_digest_says_never_serve() {
    let registry = Shared::default();
    registry.lock().unwrap().publish(FIRST, &model(8.0));
    registry.lock().unwrap().blobs[0].1[40] ^= 1;
    let scratch = TempDir::new().unwrap();
    let token = scratch.path().join("token");
    fs::write(&token, "secret").unwrap();
    let (ended, words) = Host::fail(&["--cloud", &serve(registry), "--token-file", &text(&token)]);
    assert!(
        !ended.success() && words.contains("other bytes than its digest says"),
        "{words}"
    );
}
