//! A device as the cloud sees it: a key, a certificate, an HTTPS client, an MQTT session.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use espalier_api::claim::{ClaimView, CreateClaim};
use espalier_protocol::{
    DeviceIdentity, Incarnation,
    claim::{Claim, Uplink},
    enrol::{EnrolRequest, Enrolled, Role},
    envelope::seal,
    inventory::Inventory,
    report::{Refusal, Report},
    topic::{Channel, Topic},
    trust::SigningKey,
};
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use reqwest::{Certificate, Identity, Response};
use rumqttc::{
    TlsConfiguration, Transport,
    v5::{
        AsyncClient, Event, EventLoop, MqttOptions,
        mqttbytes::{QoS, v5::Packet},
    },
};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use crate::stack::{PATIENCE, Stack};

/// A device that has enrolled.
pub struct Device {
    pub identity: DeviceIdentity,
    pub claim: Claim,
    pub signing: SigningKey,
    pub http: reqwest::Client,
    pub key: KeyPair,
    pub certificate_pem: String,
}

/// A new claim.
pub async fn claim(stack: &Stack, request: &CreateClaim) -> Claim {
    stack.post::<ClaimView>("/claims", request).await.claim
}

/// What a device with this key asks of the door.
pub fn request(claim: &Claim, name: &str, role: Role, key: &KeyPair) -> EnrolRequest {
    let csr = CertificateParams::default().serialize_request(key).unwrap();
    EnrolRequest {
        token: claim.token.clone(),
        device: name.parse().unwrap(),
        class: "test-class".parse().unwrap(),
        role,
        csr_pem: csr.pem().unwrap(),
        inventory: Inventory::default(),
    }
}

/// A new key.
pub fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ED25519).unwrap()
}

/// An HTTPS client that believes the claim's authority, with or without a certificate of its own.
pub fn https(claim: &Claim, own: Option<(&str, &KeyPair)>) -> reqwest::Client {
    let ca = Certificate::from_pem(claim.ca_pem.as_bytes()).unwrap();
    let builder = reqwest::Client::builder().tls_certs_only([ca]);
    let builder = match own {
        None => builder,
        Some((chain, key)) => {
            let pem = format!("{}\n{chain}", key.serialize_pem());
            builder.identity(Identity::from_pem(pem.as_bytes()).unwrap())
        }
    };
    builder.build().unwrap()
}

/// The door's address of a path.
pub fn at(claim: &Claim, path: &str) -> String {
    let Uplink::Cloud { door, .. } = &claim.uplink else {
        panic!("the claim leads to a gateway")
    };
    format!("{door}device/v1/{path}")
}

impl Device {
    /// Enrols with a claim.
    pub async fn enrol(claim: Claim, name: &str, role: Role, over: Option<&Self>) -> Self {
        let key = key();
        let http = over.map_or_else(|| https(&claim, None), |gateway| gateway.http.clone());
        let door = over.map_or(&claim, |gateway| &gateway.claim);
        let asked = request(&claim, name, role, &key);
        let answer = http
            .post(at(door, "enrol"))
            .json(&asked)
            .send()
            .await
            .unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{status}: {text}");
        let enrolled: Enrolled = serde_json::from_str(&text).unwrap();
        let http = https(door, Some((&enrolled.certificate_pem, &key)));
        Self {
            identity: enrolled.identity,
            signing: SigningKey::from_pkcs8(key.serialized_der()).unwrap(),
            claim,
            http,
            certificate_pem: enrolled.certificate_pem,
            key,
        }
    }

    /// Asks the door for something.
    pub async fn fetch(&self, path: &str) -> Response {
        self.http.get(at(&self.claim, path)).send().await.unwrap()
    }

    /// Connects to the broker and listens to its own topics.
    pub async fn connect(&self) -> Session {
        let Uplink::Cloud { broker, .. } = &self.claim.uplink else {
            panic!("the claim leads to a gateway")
        };
        let mut options = MqttOptions::new(
            self.identity.to_string(),
            broker.host_str().unwrap(),
            broker.port().unwrap(),
        );
        options
            .set_transport(Transport::Tls(TlsConfiguration::Rustls(Arc::new(
                self.tls(),
            ))))
            .set_outgoing_inflight_upper_limit(16)
            .set_max_packet_size(Some(70_000))
            .set_keep_alive(Duration::from_secs(5));
        let (client, connection) = AsyncClient::new(options, 16);
        for channel in [Channel::Desired, Channel::Ack] {
            let topic = Topic::new(self.identity.clone(), channel).to_string();
            client.subscribe(topic, QoS::AtLeastOnce).await.unwrap();
        }
        Session {
            client,
            connection,
            identity: self.identity.clone(),
        }
    }

    fn tls(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(self.claim.ca_pem.as_bytes()).unwrap())
            .unwrap();
        let chain = CertificateDer::pem_slice_iter(self.certificate_pem.as_bytes())
            .collect::<Result<_, _>>()
            .unwrap();
        let key = PrivateKeyDer::from_pem_slice(self.key.serialize_pem().as_bytes()).unwrap();
        ClientConfig::builder()
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .unwrap()
    }

    /// A signed report at this place.
    pub fn report(&self, boot: u64, seq: u64) -> Vec<u8> {
        self.report_by(&self.signing, boot, seq)
    }

    /// A report of this device, signed by any key.
    pub fn report_by(&self, key: &SigningKey, boot: u64, seq: u64) -> Vec<u8> {
        seal(&self.says(boot, seq), key).unwrap()
    }

    /// A signed report of something that was refused.
    pub fn report_of(&self, refusal: Refusal, boot: u64, seq: u64) -> Vec<u8> {
        let report = Report {
            refused: vec![refusal],
            ..self.says(boot, seq)
        };
        seal(&report, &self.signing).unwrap()
    }

    fn says(&self, boot: u64, seq: u64) -> Report {
        Report {
            device: self.identity.clone(),
            boot,
            seq,
            incarnation: Some(Incarnation::from_bytes([5; 16])),
            nonce: vec![7; 16],
            at: jiff::Timestamp::UNIX_EPOCH,
            class: "test-class".parse().unwrap(),
            desired_sequence: 0,
            models: Vec::new(),
            progress: None,
            refused: Vec::new(),
            inventory: None,
            traceparent: None,
        }
    }
}

/// A connection to the broker.
pub struct Session {
    client: AsyncClient,
    connection: EventLoop,
    identity: DeviceIdentity,
}

impl Session {
    /// Publishes on the device's own uplink.
    pub async fn say(&self, payload: Vec<u8>) {
        self.say_for(&self.identity, payload).await;
    }

    /// Publishes on the uplink of a device, as its gateway does.
    pub async fn say_for(&self, device: &DeviceIdentity, payload: Vec<u8>) {
        let topic = Topic::new(device.clone(), Channel::Report).to_string();
        self.client
            .publish(topic, QoS::AtLeastOnce, false, payload)
            .await
            .unwrap();
    }

    /// The next message from the cloud.
    pub async fn hear(&mut self) -> (Topic, Bytes) {
        let heard = async {
            loop {
                if let Event::Incoming(Packet::Publish(message)) =
                    self.connection.poll().await.unwrap()
                {
                    let topic = std::str::from_utf8(&message.topic)
                        .unwrap()
                        .parse()
                        .unwrap();
                    return (topic, message.payload);
                }
            }
        };
        tokio::time::timeout(PATIENCE, heard)
            .await
            .expect("waited too long for a message")
    }

    /// Whether the connection ends, as it does for who is shut out.
    pub async fn ends(&mut self) {
        let ended = async { while self.connection.poll().await.is_ok() {} };
        tokio::time::timeout(PATIENCE, ended)
            .await
            .expect("the connection was not ended");
    }
}
