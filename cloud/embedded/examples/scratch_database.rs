//! A database with all migrations applied, for as long as this program's input is open: `cargo
//! xtask gen` asks it about every SQL query.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use espalier_embedded::postgres::{EmbeddedPostgres, PostgresConfig, Survives};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

#[tokio::main]
async fn main() -> Result<()> {
    let migrations = std::env::args_os()
        .nth(1)
        .context("usage: scratch_database MIGRATIONS")?;
    let folder = tempfile::tempdir()?;
    let config = PostgresConfig {
        survives: Survives::Crash,
        ..PostgresConfig::new(folder.path())
    };
    let server = EmbeddedPostgres::start(config).await?;
    let url = server.url("postgres");
    apply(Path::new(&migrations), &url).await?;
    println!("{url}");
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    server.stop().await;
    Ok(())
}

async fn apply(migrations: &Path, url: &str) -> Result<()> {
    let mut connection = PgConnection::connect(url).await?;
    let files = std::fs::read_dir(migrations)
        .with_context(|| format!("reading {}", migrations.display()))?;
    let mut files: Vec<PathBuf> = files
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "sql"));
    files.sort();
    for file in files {
        // Our own committed files.
        let statements = AssertSqlSafe(std::fs::read_to_string(&file)?);
        sqlx::raw_sql(statements)
            .execute(&mut connection)
            .await
            .with_context(|| file.display().to_string())?;
    }
    Ok(())
}
