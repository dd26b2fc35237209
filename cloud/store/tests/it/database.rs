//! One server for the whole run, and a fresh copy of the migrated database for each test.
//!
//! The server is our own child, or the one at `DATABASE_URL` where that is set.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use espalier_embedded::postgres::{EmbeddedPostgres, PostgresConfig, Survives};
use espalier_store::{ConnectOptions, Store};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::sync::OnceCell;
use url::Url;

static SERVER: OnceCell<Server> = OnceCell::const_new();
static NEXT: AtomicU32 = AtomicU32::new(0);

const PREFIX: &str = "espalier_store_test";

struct Server {
    admin: Url,
    template: String,
    /// The server's process lives as long as this one.
    _own: Option<EmbeddedPostgres>,
}

/// A store on a database of its own, and the database's address.
pub struct Database {
    pub store: Store,
    pub url: String,
}

impl Database {
    /// A connection past the store, to do what the store would never do.
    pub async fn raw(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.unwrap()
    }
}

pub async fn fresh() -> Database {
    let server = SERVER.get_or_init(start).await;
    let name = format!(
        "{PREFIX}_{}_{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    );
    run(
        &server.admin,
        format!("CREATE DATABASE {name} TEMPLATE {}", server.template),
    )
    .await
    .unwrap();
    let url = database(&server.admin, &name);
    let store = Store::connect(&ConnectOptions::new(url.as_str()))
        .await
        .unwrap();
    Database {
        store,
        url: url.into(),
    }
}

async fn start() -> Server {
    let (admin, own) = match std::env::var("DATABASE_URL") {
        Ok(url) => (url.parse().unwrap(), None),
        Err(_) => own_server().await,
    };
    sweep(&admin).await;
    let template = format!("{PREFIX}_{}_template", std::process::id());
    run(&admin, format!("CREATE DATABASE {template}"))
        .await
        .unwrap();
    let store = Store::connect(&ConnectOptions::new(database(&admin, &template)))
        .await
        .unwrap();
    store.migrate().await.unwrap();
    store.close().await;
    Server {
        admin,
        template,
        _own: own,
    }
}

async fn own_server() -> (Url, Option<EmbeddedPostgres>) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("store-postgres");
    let config = PostgresConfig {
        survives: Survives::Crash,
        ..PostgresConfig::new(folder)
    };
    let server = EmbeddedPostgres::start(config).await.unwrap();
    (server.url("postgres").parse().unwrap(), Some(server))
}

/// Databases of earlier runs; those of a run that goes on now are in use and stay.
async fn sweep(admin: &Url) {
    let mut connection = PgConnection::connect(admin.as_str()).await.unwrap();
    let old: Vec<String> =
        sqlx::query_scalar("SELECT datname::text FROM pg_database WHERE datname LIKE $1")
            .bind(format!("{PREFIX}%"))
            .fetch_all(&mut connection)
            .await
            .unwrap();
    for name in old {
        let _in_use = run(admin, format!("DROP DATABASE {name}")).await;
    }
}

async fn run(admin: &Url, statement: String) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect(admin.as_str()).await?;
    sqlx::query(AssertSqlSafe(statement))
        .execute(&mut connection)
        .await?;
    Ok(())
}

fn database(admin: &Url, name: &str) -> Url {
    let mut url = admin.clone();
    url.set_path(name);
    url
}
