use espalier_store::Role;

use crate::{
    cloud::Cloud,
    door::Caller,
    refusal::{Outcome, Refusal},
};

/// The one file of the repository whose name says no version.
pub const TIMESTAMP_FILE: &str = "timestamp.json";

/// A file of the caller's tenant's signed metadata, by its name.
///
/// # Errors
/// `not_found`.
pub async fn metadata_file(cloud: &Cloud, caller: &Caller, name: &str) -> Outcome<Vec<u8>> {
    let (tuf, tenant) = (cloud.store()?.tuf(), &caller.identity.tenant);
    let found = match parse(name) {
        Some(File::Timestamp) => tuf.newest(tenant, Role::Timestamp).await?,
        Some(File::Edition(role, version)) => tuf.edition(tenant, role, version).await?,
        None => None,
    };
    found
        .map(|metadata| metadata.bytes)
        .ok_or_else(|| Refusal::absent(format!("metadata file `{name}`")))
}

enum File {
    Timestamp,
    Edition(Role, u64),
}

fn parse(name: &str) -> Option<File> {
    if name == TIMESTAMP_FILE {
        return Some(File::Timestamp);
    }
    let (version, role) = name.strip_suffix(".json")?.split_once('.')?;
    let role = [Role::Root, Role::Snapshot, Role::Targets]
        .into_iter()
        .find(|known| known.name() == role)?;
    // One spelling only: `01` is not `1`.
    let number: u64 = version.parse().ok()?;
    (number.to_string() == version).then_some(File::Edition(role, number))
}
