//! Enrolment: a claim and a fresh key become a certificate.

use std::sync::Arc;

use bytes::Bytes;
use espalier_protocol::claim::Claim;
use espalier_protocol::enrol::{EnrolRequest, Enrolled, Role};
use espalier_protocol::inventory::Inventory;
use espalier_protocol::trust::{SigningKey, TrustLevel};
use espalier_protocol::{DeviceClassName, DeviceIdentity, DeviceName};
use espalier_slots::trust::root_trust;
use espalier_slots::{Anchor, Files, Store, StoreError};
use jiff::Timestamp;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ED25519};
use ring::rand::SecureRandom;
use rustls_pki_types::PrivatePkcs8KeyDer;

use crate::certificate::Certificate;
use crate::door::{self, Door, DoorError};
use crate::identity::{Draft, Facts, Identity, IdentityError, StateFolder};

/// What a device wants to be.
#[derive(Debug, Clone)]
pub struct Wish {
    /// Its name.
    pub device: DeviceName,
    /// Its class.
    pub class: DeviceClassName,
    /// What it is in its site.
    pub role: Role,
    /// Facts about it.
    pub inventory: Inventory,
    /// Whether keys that were made by `espalier up` are good enough.
    pub development_trust: bool,
    /// Whether a device that holds a certificate asks for one all the same: the cloud may not know that one any more.
    pub again: bool,
}

/// Why a device was not enrolled.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// The claim's keys are for development.
    #[error(
        "this claim's keys were made for development: start the agent with --development-trust to accept them"
    )]
    DevelopmentTrust,
    /// The claim is too old.
    #[error("the claim expired at {0}: ask for a new one")]
    Expired(Timestamp),
    /// The claim is bound to another class.
    #[error("the claim is for devices of class {claim}, and this device is {device}")]
    WrongClass {
        /// The claim's class.
        claim: DeviceClassName,
        /// The device's.
        device: DeviceClassName,
    },
    /// The device belongs to another owner or has another name already.
    #[error(
        "this state folder belongs to {0}: choose another folder, or remove it by hand to enrol anew"
    )]
    Taken(DeviceIdentity),
    /// The device was enrolled as one of another class.
    #[error(
        "this device was enrolled as one of class {was}, and not of {wish}: enrol it as it was, or under a new name in \
         another state folder"
    )]
    OtherClass {
        /// Its class so far.
        was: DeviceClassName,
        /// The one that it is to have now.
        wish: DeviceClassName,
    },
    /// The cloud said no.
    #[error("the enrolment was refused with status {status}: {detail}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Why.
        detail: String,
    },
    /// The cloud's answer is not understood, or is about another device.
    #[error("the answer to the enrolment cannot be used: {0}")]
    Answer(String),
    /// No answer.
    #[error(transparent)]
    Door(#[from] DoorError),
    /// The key or its record.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The store cannot be made.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The request cannot be written.
    #[error("the certificate request cannot be made")]
    Request(#[from] rcgen::Error),
}

/// Enrols a device, or finishes an enrolment that was cut off; one that is enrolled already stays what it is. A device
/// whose certificate ended gets a new one, under its name and with its key: the claim is a person's word that it may. So
/// does one that wishes so, or it gets the one that the cloud has on record.
///
/// The key pair is made first and kept; only the request leaves the device. The claim's authority is the only one that the
/// door is verified by, and its first TUF root becomes the store's anchor.
///
/// # Errors
/// Why not; trying again is safe.
pub async fn enrol(
    files: Arc<dyn Files>,
    state: &StateFolder,
    claim: &Claim,
    wish: &Wish,
    now: Timestamp,
    random: &dyn SecureRandom,
) -> Result<Identity, EnrolError> {
    let wanted = DeviceIdentity::new(claim.tenant.clone(), wish.device.clone());
    let known = Identity::load(files.clone(), state)?;
    if let Some(identity) = &known {
        if *identity.device() != wanted {
            return Err(EnrolError::Taken(identity.device().clone()));
        }
        if !wish.again && !identity.certificate().has_ended(now) {
            return Ok(identity.clone());
        }
        stays_of_its_class(identity, wish)?;
    }
    let trust = check_claim(claim, wish, now)?;
    let draft = Draft::begin(files.clone(), state, random)?;
    let enrolled = ask(claim, wish, &draft).await?;
    if enrolled.identity != wanted {
        return Err(EnrolError::Answer(format!(
            "it names {}, and {wanted} was asked for",
            enrolled.identity
        )));
    }
    let certificate = read_certificate(&enrolled.certificate_pem, &wanted, &draft, claim)?;
    // The trust of a device that was enrolled before has come further than this claim's.
    if known.is_none() {
        make_store(files, state, claim, wish, &wanted)?;
    }
    let facts = Facts {
        identity: wanted,
        class: wish.class.clone(),
        role: wish.role,
        ca_pem: claim.ca_pem.clone(),
        uplink: claim.uplink.clone(),
        trust,
        gateway: enrolled.gateway,
    };
    Ok(draft.keep(facts, certificate)?)
}

fn stays_of_its_class(identity: &Identity, wish: &Wish) -> Result<(), EnrolError> {
    let was = &identity.facts().class;
    if *was == wish.class {
        return Ok(());
    }
    Err(EnrolError::OtherClass {
        was: was.clone(),
        wish: wish.class.clone(),
    })
}

/// A certificate of another key would be found out only at the next start, when nobody watches.
fn read_certificate(
    pem: &str,
    device: &DeviceIdentity,
    draft: &Draft,
    claim: &Claim,
) -> Result<Certificate, EnrolError> {
    let key = SigningKey::from_pkcs8(draft.pkcs8()).map_err(IdentityError::from)?;
    let usable =
        |certificate: &Certificate| certificate.check(device, &key.public(), &claim.ca_pem);
    Certificate::read(pem)
        .and_then(|certificate| usable(&certificate).map(|()| certificate))
        .map_err(|error| EnrolError::Answer(format!("its certificate is refused: {error}")))
}

fn check_claim(claim: &Claim, wish: &Wish, now: Timestamp) -> Result<TrustLevel, EnrolError> {
    // The root says it itself, whatever the claim around it says.
    let root = root_trust(&claim.tuf_root).map_err(StoreError::from)?;
    let trust = match (claim.trust, root) {
        (TrustLevel::Production, TrustLevel::Production) => TrustLevel::Production,
        _ => TrustLevel::Development,
    };
    if trust == TrustLevel::Development && !wish.development_trust {
        return Err(EnrolError::DevelopmentTrust);
    }
    if claim.expires_at < now {
        return Err(EnrolError::Expired(claim.expires_at));
    }
    match &claim.class {
        Some(class) if *class != wish.class => Err(EnrolError::WrongClass {
            claim: class.clone(),
            device: wish.class.clone(),
        }),
        _ => Ok(trust),
    }
}

async fn ask(claim: &Claim, wish: &Wish, draft: &Draft) -> Result<Enrolled, EnrolError> {
    let request = EnrolRequest {
        token: claim.token.clone(),
        device: wish.device.clone(),
        class: wish.class.clone(),
        role: wish.role,
        csr_pem: certificate_request(draft.pkcs8(), claim, wish)?,
        inventory: wish.inventory.clone(),
    };
    let body =
        serde_json::to_vec(&request).map_err(|error| EnrolError::Answer(error.to_string()))?;
    let (status, answer) = Door::anonymous(&claim.uplink, &claim.ca_pem)?
        .enrol(Bytes::from(body))
        .await?;
    if !(200..300).contains(&status) {
        return Err(EnrolError::Refused {
            status,
            detail: door::problem(&answer),
        });
    }
    serde_json::from_slice(&answer).map_err(|error| EnrolError::Answer(error.to_string()))
}

/// The request says the device's name for people who read it; the cloud takes only the key from it.
fn certificate_request(pkcs8: &[u8], claim: &Claim, wish: &Wish) -> Result<String, rcgen::Error> {
    let key =
        KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(pkcs8), &PKCS_ED25519)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(
        DnType::CommonName,
        format!("{}/{}", claim.tenant, wish.device),
    );
    params.serialize_request(&key)?.pem()
}

fn make_store(
    files: Arc<dyn Files>,
    state: &StateFolder,
    claim: &Claim,
    wish: &Wish,
    identity: &DeviceIdentity,
) -> Result<(), EnrolError> {
    let anchor = Anchor {
        identity: identity.clone(),
        class: wish.class.clone(),
        tuf_root: claim.tuf_root.clone(),
    };
    match Store::create(files.clone(), &state.store(), anchor.clone()) {
        Ok(_) => Ok(()),
        // An earlier try was cut off after this point.
        Err(StoreError::Present(_)) => {
            let store = Store::open(files, &state.store())?;
            if *store.anchor() == anchor {
                Ok(())
            } else {
                Err(EnrolError::Taken(store.anchor().identity.clone()))
            }
        }
        Err(error) => Err(error.into()),
    }
}
