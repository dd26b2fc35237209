//! Where this agent's answers are computed, as they say of themselves.

use espalier_link::identity::Facts;
use espalier_protocol::enrol::Role;
use espalier_serving::{Place, Tier};

/// The place of an enrolled device.
#[must_use]
pub fn of(facts: &Facts) -> Place {
    let tier = match facts.role {
        Role::Device => Tier::Device,
        Role::Gateway => Tier::Gateway,
    };
    Place {
        tier,
        name: facts.identity.to_string(),
    }
}
