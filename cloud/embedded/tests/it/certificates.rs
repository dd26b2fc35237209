//! A CA, a broker and devices for one test.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    SerialNumber,
};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, pki_types::PrivateKeyDer};
use tempfile::TempDir;

use espalier_embedded::broker::BrokerConfig;

/// A CA that a test made up.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

impl Authority {
    pub fn new() -> Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        Ok(Self {
            issuer: Issuer::new(params, key),
            certificate,
        })
    }

    /// A broker's files, and the configuration that names them.
    pub fn broker(&self) -> Result<(TempDir, BrokerConfig)> {
        let folder = tempfile::tempdir()?;
        let key = KeyPair::generate()?;
        let certificate =
            CertificateParams::new(vec!["localhost".to_owned()])?.signed_by(&key, &self.issuer)?;
        let file = |name: &str, text: String| -> Result<PathBuf> {
            let path = folder.path().join(name);
            std::fs::write(&path, text)?;
            Ok(path)
        };
        let config = BrokerConfig {
            listen: "127.0.0.1:0".parse()?,
            certificate: file("broker.pem", certificate.pem())?,
            key: file("broker.key", key.serialize_pem())?,
            client_ca: file("ca.pem", self.certificate.pem())?,
            max_connections: 100,
        };
        Ok((folder, config))
    }

    /// What a device with this common name speaks TLS with.
    pub fn device(&self, common_name: &str, serial: u64) -> Result<Arc<ClientConfig>> {
        let mut params = CertificateParams::default();
        params.serial_number = Some(SerialNumber::from(serial));
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?;
        let config = self
            .client()?
            .with_client_auth_cert(vec![certificate.der().clone()], key)?;
        Ok(Arc::new(config))
    }

    /// What somebody without a certificate speaks TLS with.
    pub fn stranger(&self) -> Result<Arc<ClientConfig>> {
        Ok(Arc::new(self.client()?.with_no_client_auth()))
    }

    fn client(
        &self,
    ) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>> {
        let mut roots = RootCertStore::empty();
        roots
            .add(self.certificate.der().clone())
            .context("the CA")?;
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        Ok(builder
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots))
    }
}
