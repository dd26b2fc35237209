//! The certificates of the cloud in this process: those that it gave, and what it gives to who asks for the next one.

use actix_web::HttpResponse;
use espalier_protocol::DeviceIdentity;
use espalier_protocol::enrol::{EnrolRequest, Enrolled};
use espalier_protocol::envelope::Envelope;
use espalier_protocol::renew::{RenewRequest, Renewed};
use espalier_protocol::trust::PublicKey;
use espalier_trust::ca::{DeviceCa, DeviceCertificate, Serial, Validity};
use ring::rand::SystemRandom;

use crate::cloud::validity;
use crate::mint::{device, hours, key, name};

/// What who asks for the next certificate is given.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Gives {
    /// What the cloud gives: a certificate has one successor.
    #[default]
    Next,
    /// The newest one, as to somebody who comes too early.
    Newest,
    OfAnotherDevice,
    ForAnotherKey,
    OfAnotherAuthority,
    ThatEndsSooner,
    Nonsense,
}

/// What the cloud has on record.
#[derive(Default)]
pub struct Register {
    issued: Vec<DeviceCertificate>,
    pub gives: Gives,
    /// How often somebody asked for the next certificate.
    pub asked: usize,
}

impl Register {
    /// How many certificates were given.
    pub fn count(&self) -> usize {
        self.issued.len()
    }

    /// The serial number of the certificate that was given last.
    pub fn newest(&self) -> String {
        self.issued.last().unwrap().serial.to_string()
    }

    pub fn enrol(&mut self, ca: &DeviceCa, request: &EnrolRequest) -> (PublicKey, HttpResponse) {
        let identity = DeviceIdentity::new(device().tenant, request.device.clone());
        let csr = &request.csr_pem;
        let certificate = ca
            .issue_device(&identity, csr, validity(), &SystemRandom::new())
            .unwrap();
        self.issued.push(certificate.clone());
        let answer = HttpResponse::Ok().json(Enrolled {
            identity,
            certificate_pem: certificate.pem,
            gateway: None,
        });
        (certificate.public_key, answer)
    }

    pub fn renew(&mut self, ca: &DeviceCa, request: &[u8]) -> HttpResponse {
        self.asked += 1;
        let newest = self.issued.last().unwrap().clone();
        let asked: RenewRequest = Envelope::parse(request)
            .unwrap()
            .open(|id| (newest.public_key.id() == id).then_some(&newest.public_key))
            .unwrap();
        assert_eq!(asked.device, device());
        let stranger =
            DeviceCa::create(std::sync::Arc::new(key()), validity(), &SystemRandom::new());
        let given = match self.gives {
            Gives::Next if asked.follows == newest.serial.as_str() => {
                let next = certify(ca, &device(), &newest.public_key, 1);
                self.issued.push(next.clone());
                next.pem
            }
            Gives::Next | Gives::Newest => newest.pem,
            Gives::OfAnotherDevice => certify(ca, &name("acme/press-8"), &newest.public_key, 1).pem,
            Gives::ForAnotherKey => {
                let other = PublicKey::from_bytes([7; 32]);
                certify(ca, &device(), &other, 1).pem
            }
            Gives::OfAnotherAuthority => {
                certify(&stranger.unwrap(), &device(), &newest.public_key, 1).pem
            }
            Gives::ThatEndsSooner => certify(ca, &device(), &newest.public_key, -1).pem,
            Gives::Nonsense => "no certificate".to_owned(),
        };
        HttpResponse::Ok().json(Renewed {
            certificate_pem: given + ca.certificate_pem(),
        })
    }
}

/// A certificate that ends so many years after the first ones do.
fn certify(
    ca: &DeviceCa,
    device: &DeviceIdentity,
    key: &PublicKey,
    years: i64,
) -> DeviceCertificate {
    let not_after = validity().not_after + hours(24 * 365 * years);
    let validity = Validity {
        not_after,
        ..validity()
    };
    let serial = Serial::random(&SystemRandom::new()).unwrap();
    DeviceCertificate {
        pem: ca.certify(device, key, &serial, validity).unwrap(),
        serial,
        public_key: *key,
        not_after,
    }
}
