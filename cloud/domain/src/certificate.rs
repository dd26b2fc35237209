//! When the certificate of a device may be followed by the next.

use jiff::Timestamp;

/// Whether half of a certificate's life is over.
///
/// Agents ask when about a third is left, so an honest one does not come too early; and whoever asks all day long gets two
/// certificates a life, whatever the clock says that he believes in.
#[must_use]
pub fn may_be_followed(issued_at: Timestamp, expires_at: Timestamp, now: Timestamp) -> bool {
    now.duration_since(issued_at) >= expires_at.duration_since(issued_at) / 2
}
