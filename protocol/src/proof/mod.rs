//! Open proof: what other people's tools verify of a bundle without knowing us.
//!
//! Two files in open formats. [`signature`] says who vouches for a bundle's bytes (OpenSSF Model Signing v1.0),
//! [`bom`] what the build is and was made from (CycloneDX). Neither says which release a device should run, or
//! whether it is still good: that is what the release keys and the deployer say.

pub mod bom;
pub mod key;
pub mod signature;

pub use bom::Bom;
pub use key::BundleKey;
pub use signature::{BundleSignature, Difference, SignatureError, Statement};
