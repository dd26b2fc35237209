//! A disk without room: the upload is refused by name, the service stays up, and nothing half-written is left.

use std::{ffi::OsString, path::PathBuf, process::Command};

use espalier_api::{error::ErrorCode, model::BlobView};
use espalier_embedded::postgres::{EmbeddedPostgres, PostgresConfig, Programs, Survives};
use espalier_protocol::Digest;
use espalier_support::skip::skipped;
use reqwest::{Method, Response};
use tempfile::{tempdir, tempdir_in};

use crate::stack::{Stack, problem};

const TEST: &str = "full_disk::upload_that_does_not_fit_is_refused_and_leaves_nothing";
/// Tells the test that it runs on the small disk, and where that is.
const DISK: &str = "ESPALIER_TEST_SMALL_DISK";
/// Where the test's database is: a server's own files would not fit.
const DATABASE: &str = "ESPALIER_TEST_DATABASE";
const DISK_BYTES: usize = 8 << 20;

/// Starts itself again where a small disk is mounted, which nobody outside sees.
#[tokio::test(flavor = "multi_thread")]
async fn upload_that_does_not_fit_is_refused_and_leaves_nothing() {
    if let Some(disk) = std::env::var_os(DISK) {
        return on_the_small_disk(disk.into()).await;
    }
    if Programs::find().is_err() {
        return skipped(TEST, "there is no PostgreSQL here");
    }
    let enter = apart();
    if !matches!(command(&enter).arg("true").status(), Ok(status) if status.success()) {
        return skipped(
            TEST,
            "this machine lets nobody mount a disk of their own (unshare)",
        );
    }
    let folder = tempdir().unwrap();
    let (disk, data) = (folder.path().join("disk"), folder.path().join("data"));
    std::fs::create_dir(&disk).unwrap();
    let postgres = EmbeddedPostgres::start(PostgresConfig {
        survives: Survives::Crash,
        ..PostgresConfig::new(data)
    })
    .await
    .unwrap();
    let mount = format!("mount -t tmpfs -o size={DISK_BYTES} tmpfs \"$0\" && exec \"$@\"");
    let mut again = command(&enter);
    again.args(["sh", "-c", &mount]).arg(&disk);
    again.arg(std::env::current_exe().unwrap());
    again.args(["--exact", TEST, "--nocapture"]);
    again
        .env(DISK, &disk)
        .env(DATABASE, postgres.url("postgres"));
    let ended = tokio::task::spawn_blocking(move || again.output())
        .await
        .unwrap()
        .unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(
        ended.status.success() && said.contains("1 passed"),
        "{said}\n{}",
        String::from_utf8_lossy(&ended.stderr)
    );
    postgres.stop().await;
}

/// A mount namespace of one's own; who is not root needs a user namespace for it.
fn apart() -> Vec<OsString> {
    let mut arguments = vec!["--mount".into()];
    if !rustix::process::geteuid().is_root() {
        arguments.extend(["--user".into(), "--map-root-user".into()]);
    }
    arguments
}

fn command(enter: &[OsString]) -> Command {
    let mut command = Command::new("unshare");
    command.args(enter);
    command
}

async fn on_the_small_disk(disk: PathBuf) {
    let state = tempdir_in(&disk).unwrap();
    let stack = Stack::launch(state, |flags| {
        flags.database_url = std::env::var(DATABASE).ok()
    })
    .await;
    stack.ready().await;
    let large = vec![7; DISK_BYTES + (2 << 20)];
    let digest = Digest::of(&large);
    for _ in 0..2 {
        let refused = problem(put(&stack, large.clone()).await).await;
        assert_eq!(refused.code, ErrorCode::StorageFull, "{refused:?}");
    }
    let path = format!("/blobs/{digest}");
    let absent = stack.call(Method::GET, &path, None::<&()>).await;
    assert_eq!(problem(absent).await.code, ErrorCode::NotFound);
    let incoming = stack.folder.path().join("blobs/incoming");
    let left = std::fs::read_dir(incoming).map_or(0, Iterator::count);
    assert_eq!(left, 0, "something half-written was left");

    stack.ready().await;
    let small = vec![8; DISK_BYTES / 2];
    let kept: BlobView = put(&stack, small.clone()).await.json().await.unwrap();
    assert_eq!(kept.size, small.len() as u64);
    stack.stop().await;
}

async fn put(stack: &Stack, bytes: Vec<u8>) -> Response {
    let url = format!(
        "{}/api/v1/blobs/{}",
        stack.endpoints.api,
        Digest::of(&bytes)
    );
    let put = stack.http.put(url).bearer_auth(&stack.token).body(bytes);
    put.send().await.unwrap()
}
