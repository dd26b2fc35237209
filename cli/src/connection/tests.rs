use super::*;

fn endpoints(api: &str) -> Endpoints {
    Endpoints {
        api: api.into(),
        device_door: "https://127.0.0.1:7443".into(),
        broker: "mqtts://127.0.0.1:8883".into(),
        admin_token_file: "/state/admin.token".into(),
        pid: 1,
    }
}

fn config(url: &str) -> Config {
    Config {
        url: url.parse().unwrap(),
        token_file: "/home/token".into(),
        ca: None,
    }
}

fn found(state: Option<&str>, configured: Option<&str>) -> Found {
    Found {
        endpoints: state.map(endpoints),
        config: configured.map(config),
    }
}

fn args(url: Option<&str>, token_file: Option<&str>, state: Option<&str>) -> ConnectionArgs {
    ConnectionArgs {
        url: url.map(|u| u.parse().unwrap()),
        token_file: token_file.map(Into::into),
        state: state.map(Into::into),
        ca: None,
    }
}

fn resolved(args: ConnectionArgs, found: Found) -> (String, String) {
    let target = args.resolve(&found).unwrap();
    (
        target.url.to_string(),
        target.token_file.display().to_string(),
    )
}

#[test]
fn a_state_folder_beside_the_person_is_enough() {
    let (url, token) = resolved(
        args(None, None, None),
        found(Some("http://127.0.0.1:7070"), None),
    );
    assert_eq!(
        (url.as_str(), token.as_str()),
        ("http://127.0.0.1:7070/", "/state/admin.token")
    );
}

#[test]
fn a_configured_server_wins_over_a_folder_that_merely_lies_here() {
    let both = found(Some("http://127.0.0.1:7070"), Some("https://fleet.example"));
    assert_eq!(
        resolved(args(None, None, None), both.clone()).0,
        "https://fleet.example/"
    );
    assert_eq!(
        resolved(args(None, None, Some("/state")), both).0,
        "http://127.0.0.1:7070/"
    );
}

#[test]
fn a_states_token_never_travels_to_another_server() {
    let err = args(Some("https://elsewhere.example"), None, Some("/state"))
        .resolve(&found(Some("http://127.0.0.1:7070"), None))
        .unwrap_err();
    assert!(
        err.to_string()
            .contains("no token is known for https://elsewhere.example"),
        "{err}"
    );
    assert!(err.advice().unwrap().contains("--token-file"));
}

#[test]
fn a_named_address_finds_the_token_that_belongs_to_it() {
    let both = found(Some("http://127.0.0.1:7070"), Some("https://fleet.example"));
    assert_eq!(
        resolved(args(Some("http://127.0.0.1:7070"), None, None), both).1,
        "/state/admin.token"
    );
}

#[test]
fn a_token_in_clear_text_is_refused() {
    let err = args(Some("http://10.0.0.7:7070"), Some("/t"), None)
        .resolve(&Found::default())
        .unwrap_err();
    assert!(err.to_string().contains("clear text"), "{err}");
}

#[test]
fn knowing_no_server_says_all_ways_to_name_one() {
    let err = args(None, None, None)
        .resolve(&Found::default())
        .unwrap_err();
    let advice = err.advice().unwrap();
    for way in ["espalier up", "--url", "ESPALIER_URL", "config.toml"] {
        assert!(advice.contains(way), "{way} is missing in: {advice}");
    }
}
