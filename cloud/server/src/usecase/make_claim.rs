//! An operator lets devices in: makes the file that they enrol with.

use espalier_api::{
    claim::{ClaimView, CreateClaim, ViaGateway},
    error::ErrorCode,
};
use espalier_domain::principal::Principal;
use espalier_protocol::{
    DeviceIdentity, Digest,
    claim::{Claim, FORMAT, Uplink},
    enrol::Role,
    id::ClaimId,
};
use espalier_store::NewClaim;
use jiff::SignedDuration;

use crate::{
    cloud::Cloud,
    refusal::{Outcome, Refusal},
};

const DEFAULT_SECONDS: u32 = 24 * 3600;
const MOST_SECONDS: u32 = 30 * 24 * 3600;
const MOST_USES: u32 = 10_000;

/// Makes a claim. Its secret is in the answer, and nowhere else.
///
/// # Errors
/// `invalid_value`; `not_found` for an unknown gateway.
pub async fn make_claim(
    cloud: &Cloud,
    who: &Principal,
    request: CreateClaim,
) -> Outcome<ClaimView> {
    let uses = bounded("uses", request.uses.unwrap_or(1), MOST_USES)?;
    let seconds = bounded(
        "valid_seconds",
        request.valid_seconds.unwrap_or(DEFAULT_SECONDS),
        MOST_SECONDS,
    )?;
    let uplink = match request.gateway {
        None => Uplink::Cloud {
            door: cloud.addresses.door.clone(),
            broker: cloud.addresses.broker.clone(),
            broker_ca_pem: cloud.addresses.broker_ca_pem.clone(),
        },
        Some(via) => behind(cloud, who, via).await?,
    };
    let (id, token) = (ClaimId(cloud.world.id()?), cloud.world.secret()?);
    let created_at = cloud.world.now();
    let new = NewClaim {
        id,
        tenant: who.tenant.clone(),
        token: Digest::of(token.as_bytes()),
        class: request.class.clone(),
        max_uses: uses,
        created_at,
        expires_at: created_at + SignedDuration::from_secs(i64::from(seconds)),
    };
    cloud.store()?.claims().create(&new).await?;
    super::record(
        cloud,
        who,
        "claim.make",
        id,
        serde_json::json!({ "uses": uses, "class": new.class }),
    )
    .await?;
    let root = cloud.root(&new.tenant).await?;
    let claim = Claim {
        format: FORMAT,
        id,
        tenant: new.tenant,
        token,
        expires_at: new.expires_at,
        class: new.class,
        trust: root.trust(),
        ca_pem: cloud.authority.ca.certificate_pem().to_owned(),
        tuf_root: String::from_utf8_lossy(root.bytes()).into_owned(),
        uplink,
    };
    Ok(ClaimView {
        id,
        expires_at: new.expires_at,
        claim,
    })
}

fn bounded(field: &str, value: u32, most: u32) -> Outcome<u32> {
    if (1..=most).contains(&value) {
        return Ok(value);
    }
    Err(Refusal::new(
        ErrorCode::InvalidValue,
        format!("`{field}` must be 1 to {most}, not {value}."),
    ))
}

async fn behind(cloud: &Cloud, who: &Principal, via: ViaGateway) -> Outcome<Uplink> {
    if via.door.scheme() != "https" || via.door.host().is_none() {
        return Err(Refusal::new(
            ErrorCode::InvalidValue,
            format!("`{}` is no gateway's LAN door.", via.door),
        )
        .with_hint("https://HOST:PORT/ is needed, for example https://192.168.1.10:7480/"));
    }
    let gateway = DeviceIdentity::new(who.tenant.clone(), via.name);
    let known = cloud.store()?.devices().find(&gateway).await?;
    let known = known.filter(|device| !device.standing.is_barred());
    let known = known.ok_or_else(|| Refusal::absent(format!("device {}", gateway.device)))?;
    if known.role != Role::Gateway {
        return Err(Refusal::new(
            ErrorCode::InvalidValue,
            format!("{} is no gateway.", gateway.device),
        ));
    }
    Ok(Uplink::Gateway {
        door: via.door,
        gateway,
    })
}
