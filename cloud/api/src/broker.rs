//! Configuration for external brokers.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The files of a broker's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BrokerConfigView {
    /// The files, to be written into one folder.
    pub files: Vec<BrokerFile>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BrokerFile {
    /// Its name in the folder.
    #[schema(example = "mosquitto.conf")]
    pub name: String,
    /// Its text.
    pub content: String,
    /// Only the broker may read it (mode 0600).
    pub private: bool,
}
