//! What the cloud signs, judged by what devices verify with.

mod ca;
mod deployer;
mod fixture;
mod keys;
mod tuf;
