//! Ids that the cloud makes: UUIDv7, so that they sort by time and index well.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $ty:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $ty(pub Uuid);

        impl fmt::Display for $ty {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $ty {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl FromStr for $ty {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                Uuid::parse_str(text).map(Self)
            }
        }
    };
}

id!(
    /// An immutable full model.
    ModelVersionId
);
id!(
    /// The result of a recipe for one device class.
    BuildId
);
id!(
    /// An immutable, signed set of builds of one model version.
    ReleaseId
);
id!(
    /// A release on its way to a selection of devices.
    RolloutId
);
id!(
    /// One release for one device: the unit whose state is followed.
    AssignmentId
);
id!(
    /// The right to enrol.
    ClaimId
);
id!(
    /// A piece of forge work.
    JobId
);
