//! Claims admit whom they are for, as often as they count, until they end.

use espalier_domain::claim::{Claim, ClaimRefusal};
use espalier_protocol::id::ClaimId;
use jiff::SignedDuration;
use uuid::Uuid;

use crate::world::start;

#[test]
fn every_limit_is_kept() {
    let claim = Claim {
        id: ClaimId(Uuid::from_u128(1)),
        tenant: "acme".parse().unwrap(),
        class: Some("x86".parse().unwrap()),
        max_uses: 2,
        uses: 1,
        expires_at: start() + SignedDuration::from_hours(1),
        revoked: false,
    };
    let x86 = "x86".parse().unwrap();
    let arm = "arm".parse().unwrap();
    assert_eq!(claim.admits(&x86, start()), Ok(()));
    assert!(matches!(
        claim.admits(&arm, start()),
        Err(ClaimRefusal::WrongClass { .. })
    ));
    assert!(matches!(
        claim.admits(&x86, claim.expires_at),
        Err(ClaimRefusal::Expired(_))
    ));
    assert_eq!(
        Claim {
            uses: 2,
            ..claim.clone()
        }
        .admits(&x86, start()),
        Err(ClaimRefusal::UsedUp(2))
    );
    assert_eq!(
        Claim {
            revoked: true,
            ..claim.clone()
        }
        .admits(&x86, start()),
        Err(ClaimRefusal::Revoked)
    );
    assert_eq!(
        Claim {
            class: None,
            ..claim
        }
        .admits(&arm, start()),
        Ok(())
    );
}
