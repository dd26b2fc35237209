//! Finding a server, and what each way of not finding one says.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use espalier_api::error::ErrorCode;
use espalier_api::problem::{PROBLEM_JSON, Problem};

use crate::support::{Run, espalier, espalier_in};

/// Answers one request with these bytes, whatever it asks.
fn answering(status: u16, kind: &'static str, body: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).unwrap();
        let length = body.len();
        write!(stream, "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
            .unwrap();
    });
    address
}

fn ask(folder: &Path, address: SocketAddr) -> Run {
    std::fs::write(folder.join("token"), "secret\n").unwrap();
    let url = format!("http://{address}");
    espalier_in(
        folder,
        ["device", "list", "--url", &url, "--token-file", "token"],
    )
}

#[test]
fn no_server_known() {
    let run = espalier(["device", "list"]);
    assert_eq!(run.code, 3);
    assert!(
        run.stderr.contains("espalier up") && run.stderr.contains("ESPALIER_URL"),
        "{}",
        run.stderr
    );
}

#[test]
fn server_that_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    // Bound and dropped: nobody listens at it now.
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let run = ask(folder.path(), address);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(run.stderr.contains(&address.to_string()), "{}", run.stderr);
}

#[test]
fn token_that_is_not_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let problem = Problem::new(ErrorCode::Unauthenticated, "The token is not known.");
    let run = ask(
        folder.path(),
        answering(401, PROBLEM_JSON, serde_json::to_string(&problem).unwrap()),
    );
    assert_eq!(run.code, 4, "{}", run.stderr);
    assert!(
        run.stderr.contains("The token is not known.") && run.stderr.contains("--token-file"),
        "{}",
        run.stderr
    );
}

#[test]
fn refusal_keeps_the_servers_words() {
    let folder = tempfile::tempdir().unwrap();
    let problem =
        Problem::new(ErrorCode::Conflict, "Somebody paused it.").with_hint("Read it again.");
    let run = ask(
        folder.path(),
        answering(409, PROBLEM_JSON, serde_json::to_string(&problem).unwrap()),
    );
    assert_eq!(
        (run.code, run.stderr.as_str()),
        (6, "error: Somebody paused it.\n  help: Read it again.\n")
    );
}

#[test]
fn something_else_answers_at_the_address() {
    let folder = tempfile::tempdir().unwrap();
    for (status, body) in [(200, "<html>a printer</html>"), (502, "bad gateway")] {
        let run = ask(
            folder.path(),
            answering(status, "text/html", body.to_owned()),
        );
        assert_eq!(run.code, 70, "{}", run.stderr);
        assert!(run.stderr.contains("not Espalier's API"), "{}", run.stderr);
    }
}

#[test]
fn token_in_clear_text_is_refused_before_anything_is_sent() {
    let run = espalier([
        "device",
        "list",
        "--url",
        "http://192.0.2.1:7070",
        "--token-file",
        "x",
    ]);
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("clear text"), "{}", run.stderr);
}

#[test]
fn json_of_an_empty_fleet_is_an_empty_list() {
    let folder = tempfile::tempdir().unwrap();
    let address = answering(200, "application/json", r#"{"items":[]}"#.to_owned());
    std::fs::write(folder.path().join("token"), "secret\n").unwrap();
    let url = format!("http://{address}");
    let run = espalier_in(
        folder.path(),
        [
            "device",
            "list",
            "--json",
            "--url",
            &url,
            "--token-file",
            "token",
        ],
    );
    assert_eq!((run.code, run.stdout.as_str()), (0, "[]\n"));
}

/// The first and the second set of control characters; a terminal obeys both.
const ESCAPES: &str = "\u{1b}[2J\u{9b}31m\u{7}";

#[test]
fn a_servers_words_drive_no_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let problem = Problem::new(ErrorCode::Conflict, format!("{ESCAPES}Paused.")).with_hint(ESCAPES);
    let run = ask(
        folder.path(),
        answering(409, PROBLEM_JSON, serde_json::to_string(&problem).unwrap()),
    );
    assert!(!drives_a_terminal(&run.stderr), "{:?}", run.stderr);
    assert!(
        run.stderr.contains("\u{fffd}[2J\u{fffd}31m\u{fffd}Paused."),
        "{:?}",
        run.stderr
    );
}

#[test]
fn a_models_words_drive_no_terminal_and_stay_whole_in_json() {
    let version = serde_json::json!({
        "id": "01890a5d-ac96-774b-bcce-b302099a8057",
        "model": "sam",
        "created_at": "2026-01-01T00:00:00Z",
        "task": "tensor",
        "summary": format!("a model{ESCAPES}"),
        "description": espalier_protocol::Digest::of(b"description"),
        "files": [],
        "total_bytes": 0,
        "facts": {},
    });
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), "secret\n").unwrap();
    for json in [false, true] {
        let url = format!(
            "http://{}",
            answering(200, "application/json", version.to_string())
        );
        let id = version["id"].as_str().unwrap();
        let show = ["model", "show", id, "--url", &url, "--token-file", "token"];
        let run = espalier_in(
            folder.path(),
            show.into_iter().chain(json.then_some("--json")),
        );
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert!(run.stdout.contains("a model"), "{:?}", run.stdout);
        assert!(!drives_a_terminal(&run.stdout), "{:?}", run.stdout);
        if json {
            let shown: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
            assert_eq!(shown["summary"], version["summary"]);
        }
    }
}

fn drives_a_terminal(text: &str) -> bool {
    text.contains(|c: char| c.is_control() && c != '\n')
}
