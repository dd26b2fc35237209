//! A real server, killed in every way that a machine knows.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use espalier_embedded::postgres::{
    EmbeddedPostgres, PostgresConfig, PostgresError, Programs, Survives,
};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use sqlx::{Connection as _, PgConnection};

const PATIENCE: Duration = Duration::from_secs(30);
/// Set for the process that is killed together with its server.
const CHILD_FOLDER: &str = "ESPALIER_TEST_CHILD_FOLDER";

fn config(folder: &Path) -> PostgresConfig {
    PostgresConfig {
        survives: Survives::Crash,
        ..PostgresConfig::new(folder)
    }
}

async fn connect(server: &EmbeddedPostgres) -> Result<PgConnection> {
    Ok(PgConnection::connect(&server.url("postgres")).await?)
}

async fn write_note(server: &EmbeddedPostgres) -> Result<()> {
    let mut connection = connect(server).await?;
    sqlx::query("CREATE TABLE note (text text)")
        .execute(&mut connection)
        .await?;
    sqlx::query("INSERT INTO note VALUES ('kept')")
        .execute(&mut connection)
        .await?;
    Ok(())
}

async fn read_note(server: &EmbeddedPostgres) -> Result<String> {
    let mut connection = connect(server).await?;
    Ok(sqlx::query_scalar("SELECT text FROM note")
        .fetch_one(&mut connection)
        .await?)
}

fn pid(raw: u32) -> Result<Pid> {
    Pid::from_raw(i32::try_from(raw)?).context("a process id")
}

/// `cargo xtask test` lists what could not run.
fn skip(test: &str, reason: &str) -> Result<()> {
    let line = format!("SKIPPED {test}: {reason}");
    eprintln!("{line}");
    if let Some(log) = std::env::var_os("ESPALIER_SKIP_LOG") {
        writeln!(
            File::options().create(true).append(true).open(log)?,
            "{line}"
        )?;
    }
    Ok(())
}

/// Waits for a level, with a deadline.
fn until<T>(what: &str, mut level: impl FnMut() -> Option<T>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(reached) = level() {
            return Ok(reached);
        }
        ensure!(
            Instant::now() < deadline,
            "{what} did not happen in {} s",
            PATIENCE.as_secs()
        );
        std::thread::yield_now();
    }
}

async fn killed_server_comes_back(programs: Programs) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = EmbeddedPostgres::start(PostgresConfig {
        programs: Some(programs),
        ..config(folder.path())
    })
    .await?;
    write_note(&server).await?;
    let first = server.process_id().context("a running server")?;
    kill_process(pid(first)?, Signal::KILL)?;
    until("a new server", || {
        server.process_id().filter(|now| *now != first)
    })?;
    assert_eq!(read_note(&server).await?, "kept");
    server.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_server_comes_back_with_committed_data() -> Result<()> {
    killed_server_comes_back(Programs::find()?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_fetched_server_comes_back_with_committed_data() -> Result<()> {
    let Some(fetched) = Programs::fetched() else {
        return skip(
            "killed_fetched_server",
            "run `cargo xtask setup --postgres npm` first",
        );
    };
    killed_server_comes_back(fetched).await
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_server_keeps_its_data_and_leaves_no_process() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = EmbeddedPostgres::start(config(folder.path())).await?;
    write_note(&server).await?;
    let first = pid(server.process_id().context("a running server")?)?;
    server.stop().await;
    assert!(
        test_kill_process(first).is_err(),
        "the server is still there"
    );
    let again = EmbeddedPostgres::start(config(folder.path())).await?;
    assert_eq!(read_note(&again).await?, "kept");
    again.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_server_ends() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = EmbeddedPostgres::start(config(folder.path())).await?;
    let first = pid(server.process_id().context("a running server")?)?;
    drop(server);
    until("the end of the server", || {
        test_kill_process(first).is_err().then_some(())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn second_server_in_the_same_folder_is_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = EmbeddedPostgres::start(config(folder.path())).await?;
    let refused = EmbeddedPostgres::start(config(folder.path())).await.err();
    assert!(
        matches!(refused, Some(PostgresError::InUse { .. })),
        "{refused:?}"
    );
    server.stop().await;
    Ok(())
}

/// Runs in a process of its own, which its parent kills.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by `killed_process_leaves_a_folder_that_starts_again`"]
async fn child_that_is_killed() -> Result<()> {
    let folder = std::env::var(CHILD_FOLDER)?;
    let server = EmbeddedPostgres::start(config(Path::new(&folder))).await?;
    write_note(&server).await?;
    println!(
        "server {}",
        server.process_id().context("a running server")?
    );
    std::future::pending().await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_process_leaves_a_folder_that_starts_again() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut child = Command::new(std::env::current_exe()?)
        .args([
            "--exact",
            "postgres::child_that_is_killed",
            "--ignored",
            "--nocapture",
        ])
        .env(CHILD_FOLDER, folder.path())
        .stdout(Stdio::piped())
        .spawn()?;
    let output = BufReader::new(child.stdout.take().context("its output")?);
    let orphan = output
        .lines()
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("server ")?.parse().ok());
    let orphan = orphan.context("the child's server")?;
    child.kill()?;
    child.wait()?;
    // At once, while the old server may still be stopping.
    let server = EmbeddedPostgres::start(config(folder.path())).await?;
    assert_eq!(read_note(&server).await?, "kept");
    assert_ne!(server.process_id(), Some(orphan));
    server.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn pid_file_of_a_reused_process_id() -> Result<()> {
    let folder = tempfile::tempdir()?;
    EmbeddedPostgres::start(config(folder.path()))
        .await?
        .stop()
        .await;
    // After a machine was switched off, the id in the file may be that of any living process.
    let mut stranger = Command::new("sleep").arg("60").spawn()?;
    let data = folder.path().join("data");
    let record = format!(
        "{}\n{}\n0\n5432\n\n\n0 0\nready\n",
        stranger.id(),
        data.display()
    );
    std::fs::write(data.join("postmaster.pid"), record)?;
    let server = EmbeddedPostgres::start(config(folder.path())).await?;
    connect(&server).await?;
    assert!(
        stranger.try_wait()?.is_none(),
        "a process that is none of ours was ended"
    );
    server.stop().await;
    stranger.kill()?;
    stranger.wait()?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn first_start_that_was_killed_half_way() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let unfinished = folder.path().join("data.new");
    std::fs::create_dir(&unfinished)?;
    std::fs::write(unfinished.join("PG_VERSION"), "15\n")?;
    let server = EmbeddedPostgres::start(config(folder.path())).await?;
    connect(&server).await?;
    assert!(!unfinished.exists());
    server.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn folder_with_a_name_too_long_for_a_socket() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let long = folder.path().join("a very long name & odd%".repeat(6));
    let server = EmbeddedPostgres::start(config(&long)).await?;
    connect(&server).await?;
    server.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn data_of_another_major_version() -> Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::create_dir(folder.path().join("data"))?;
    std::fs::write(folder.path().join("data/PG_VERSION"), "9\n")?;
    let refused = EmbeddedPostgres::start(config(folder.path())).await.err();
    assert!(
        matches!(refused, Some(PostgresError::OtherMajor { .. })),
        "{refused:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn data_that_cannot_be_read() -> Result<()> {
    let folder = tempfile::tempdir()?;
    EmbeddedPostgres::start(config(folder.path()))
        .await?
        .stop()
        .await;
    std::fs::remove_file(folder.path().join("data/global/pg_control"))?;
    let refused = EmbeddedPostgres::start(config(folder.path())).await.err();
    let Some(PostgresError::Ended { said, log }) = refused else {
        anyhow::bail!("{refused:?}");
    };
    assert!(said.contains("pg_control"), "{said}");
    assert!(log.is_file());
    Ok(())
}

#[test]
fn programs_that_are_none() -> Result<()> {
    let folder = tempfile::tempdir()?;
    assert_eq!(
        Programs::at(folder.path()),
        Err("it has no `initdb`".to_owned())
    );
    std::fs::write(folder.path().join("initdb"), "")?;
    let refused = Programs::at(folder.path()).err().unwrap_or_default();
    assert!(refused.contains("does not start"), "{refused}");
    Ok(())
}
