//! What the cloud signs, judged by what devices verify with.

#![expect(
    clippy::unwrap_used,
    reason = "a helper that fails is a test that fails"
)]

mod bundle;
mod ca;
mod deployer;
mod fixture;
mod keyring;
mod keys;
mod rotation;
mod tuf;
