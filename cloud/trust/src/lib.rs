//! Forbids the arrow from signing to database and network: TUF repository, deployer envelopes, device CA.
//!
//! Two signers, neither of which is enough alone: the *release keys* say which releases exist (the [`tuf`]
//! repository), the *deployer key* says which device gets which of them now ([`Deployer`]). The [`ca`] says
//! which key belongs to which device. A [`draft`] carries metadata from one holder of a key to the next. All of
//! them sign through [`keys::KeySource`]; clock and randomness are arguments.

pub mod ca;
pub mod draft;
pub mod keys;
pub mod tuf;

mod ceremony;
mod deployer;
mod keyring;
mod roots;

pub use ceremony::{
    FirstEdition, Lifetimes, OfflineKeys, OnlineKeys, first_edition, first_freshness,
};
pub use deployer::{Deployer, SealError, deployer_target};
pub use keyring::{KeyRing, NotHeld};
pub use roots::{RootsError, newest_root};
