//! `espalier device readmit`.

use clap::Args;
use espalier_api::device::DeviceView;
use espalier_protocol::DeviceName;

use crate::commands::Context;
use crate::failure::Failure;

/// End a device's quarantine, once only one agent holds its key.
#[derive(Debug, Args)]
#[command(
    after_help = "A device is put into quarantine when two live agents are seen to hold its key, for instance after its \
                  state folder was copied. Remove the copy first: while both run, it is put there again. If you cannot \
                  tell who has the copy, `espalier device revoke` it and enrol the device anew.\n\n\
                  Example: espalier device readmit camera-07"
)]
pub struct Readmit {
    /// The device's name
    name: DeviceName,
}

impl Readmit {
    /// Readmits it, and shows it.
    ///
    /// # Errors
    /// When the server cannot be asked or refuses.
    pub async fn run(self, context: Context) -> Result<(), Failure> {
        let path = format!("/devices/{}/readmit", self.name);
        let device: DeviceView = context.client()?.act(&path).await?;
        context.output.show(&device)
    }
}
