use super::{BrokerChoice, Config, ConfigError, DatabaseChoice, ServeFlags};

fn file(text: &str) -> (tempfile::TempDir, ServeFlags) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cloud.toml");
    std::fs::write(&path, text).unwrap();
    (
        folder,
        ServeFlags {
            config: Some(path),
            ..ServeFlags::default()
        },
    )
}

#[test]
fn flags_win_over_the_file() {
    let (_folder, mut flags) =
        file("database_url = \"postgres://file\"\n[devices]\npublic_host = \"file\"");
    flags.public_host = Some("flag".into());
    let config = Config::load(&flags).unwrap();
    assert_eq!(config.public_host, "flag");
    assert_eq!(
        config.database,
        DatabaseChoice::External("postgres://file".into())
    );
}

#[test]
fn a_shown_configuration_keeps_the_database_password_to_itself() {
    for url in [
        "postgres://me:secret@db:5432/espalier",
        "postgres://me@db/espalier?password=secret",
        "secret",
    ] {
        let shown = format!("{:?}", DatabaseChoice::External(url.into()));
        assert!(!shown.contains("secret"), "{shown}");
    }
}

#[test]
fn clear_text_on_a_network_address_is_refused() {
    let flags = ServeFlags {
        listen: Some("0.0.0.0:7070".into()),
        ..ServeFlags::default()
    };
    assert!(matches!(
        Config::load(&flags),
        Err(ConfigError::OpenWithoutTls(_))
    ));
}

#[test]
fn broker_without_tls_is_refused() {
    let flags = ServeFlags {
        broker: Some("mqtt://broker:1883".parse().unwrap()),
        ..ServeFlags::default()
    };
    assert!(matches!(
        Config::load(&flags),
        Err(ConfigError::BrokerScheme(_))
    ));
}

#[test]
fn a_setting_that_another_would_silence_is_refused() {
    let own = "[broker]\nurl = \"mqtts://broker:8883\"";
    let (_folder, mut flags) = file(own);
    flags.broker_listen = Some("127.0.0.1:1".into());
    assert!(matches!(
        Config::load(&flags),
        Err(ConfigError::TwoBrokers(_))
    ));
    let (_folder, flags) = file("[broker]\nca = \"broker.pem\"");
    assert!(matches!(
        Config::load(&flags),
        Err(ConfigError::AuthorityWithoutBroker)
    ));
}

#[test]
fn half_a_key_pair_is_refused() {
    let flags = ServeFlags {
        tls_key: Some("key.pem".into()),
        ..ServeFlags::default()
    };
    assert!(matches!(Config::load(&flags), Err(ConfigError::HalfTls)));
}

#[test]
fn misspelt_key_is_named() {
    let (_folder, flags) = file("databse_url = \"x\"");
    let error = Config::load(&flags).unwrap_err().to_string();
    assert!(error.contains("databse_url"), "{error}");
}

#[test]
fn defaults_embed_everything_on_loopback() {
    let config = Config::load(&ServeFlags::default()).unwrap();
    assert_eq!(config.database, DatabaseChoice::Embedded);
    assert!(
        matches!(config.broker, BrokerChoice::Embedded { listen } if listen.ip().is_loopback())
    );
    assert!(config.api.listen.ip().is_loopback());
}
