//! What trust costs: a revocation until the device is out, and the metadata of one update until they are believed.

mod metadata;
mod revocation;

use anyhow::Result;

use crate::figures::Row;

/// Both, one after the other.
///
/// # Errors
/// When anything on the way fails.
pub async fn measure() -> Result<Vec<Row>> {
    let mut rows = revocation::measure().await?;
    rows.extend(metadata::measure()?);
    Ok(rows)
}
