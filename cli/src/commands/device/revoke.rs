//! `espalier device revoke`.

use clap::Args;
use espalier_api::device::DeviceView;
use espalier_protocol::DeviceName;

use crate::commands::Context;
use crate::failure::Failure;

/// Shut a device out for good: its certificate opens no door any more, and its reports are not believed.
#[derive(Debug, Args)]
#[command(
    after_help = "What the device runs it goes on serving. There is no way back: enrol it under a new name.\n\n\
                  Example: espalier device revoke camera-07"
)]
pub struct Revoke {
    /// The device's name
    name: DeviceName,
}

impl Revoke {
    /// Revokes it, and shows it.
    ///
    /// # Errors
    /// When the server cannot be asked or refuses.
    pub async fn run(self, context: Context) -> Result<(), Failure> {
        let path = format!("/devices/{}/revoke", self.name);
        let device: DeviceView = context.client()?.act(&path).await?;
        context.output.show(&device)
    }
}
