//! `espalier claim create`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use espalier_api::claim::{ClaimView, CreateClaim, ViaGateway};
use espalier_protocol::{DeviceClassName, DeviceName, id::ClaimId};
use jiff::Timestamp;
use serde::Serialize;
use url::Url;

use super::Context;
use crate::failure::Failure;
use crate::format::to_the_second;
use crate::output::{Shown, facts};

/// Let new devices in.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make the file that lets devices enrol
    Create(Create),
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// Whatever kept it from being done.
    pub async fn run(self, context: Context) -> Result<(), Failure> {
        match self {
            Self::Create(command) => command.run(context).await,
        }
    }
}

/// Make the file that lets devices enrol.
///
/// The file carries a secret and the first trust of a device. Bring it there by hand, by USB or as
/// a QR code; never over the network that it protects.
#[derive(Debug, Args)]
#[command(
    after_help = "Behind a gateway: espalier claim create camera.claim --gateway gate-1 --gateway-door https://192.168.1.10:7480/"
)]
pub struct Create {
    /// Where to write the claim; it must not exist yet
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The only device class that may use it
    #[arg(long)]
    class: Option<DeviceClassName>,
    /// The gateway that the devices sit behind
    #[arg(long, value_name = "NAME", requires = "gateway_door")]
    gateway: Option<DeviceName>,
    /// Where the devices reach that gateway, e.g. https://192.168.1.10:7480/
    #[arg(long, value_name = "URL", requires = "gateway")]
    gateway_door: Option<Url>,
    /// How many devices may enrol with it
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    uses: u32,
    /// How long it can be used
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = duration)]
    valid: Duration,
}

impl Create {
    /// Asks for a claim and keeps it, readable by its owner only.
    ///
    /// # Errors
    /// When the server refuses, or the file is there or cannot be written.
    pub async fn run(self, context: Context) -> Result<(), Failure> {
        // Before the server makes a secret that nobody would keep.
        refuse_existing(&self.file)?;
        let claim: ClaimView = context.client()?.post("/claims", &self.request()).await?;
        write_secret(&self.file, &claim)?;
        let (id, expires_at, uses) = (claim.id, claim.expires_at, self.uses);
        context.output.show(&Written {
            id,
            expires_at,
            uses,
            file: self.file,
        })
    }

    fn request(&self) -> CreateClaim {
        let gateway = self.gateway.clone().zip(self.gateway_door.clone());
        CreateClaim {
            class: self.class.clone(),
            gateway: gateway.map(|(name, door)| ViaGateway { name, door }),
            uses: Some(self.uses),
            valid_seconds: Some(u32::try_from(self.valid.as_secs()).unwrap_or(u32::MAX)),
        }
    }
}

fn refuse_existing(file: &Path) -> Result<(), Failure> {
    if file.exists() {
        return Err(Failure::usage(
            format!("{} is already there", file.display()),
            "a claim is a secret: give each a file of its own, and remove those that were used",
        ));
    }
    Ok(())
}

fn write_secret(path: &Path, claim: &ClaimView) -> Result<(), Failure> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(Failure::writing(path))?;
    let text = serde_json::to_string_pretty(&claim.claim).unwrap_or_default();
    writeln!(file, "{text}")
        .and_then(|()| file.sync_all())
        .map_err(Failure::writing(path))
}

/// `90s`, `15m`, `24h`, `7d`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "write it as a number with s, m, h or d, like 24h".to_owned();
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(unit_at);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    number
        .checked_mul(seconds)
        .filter(|s| *s > 0)
        .map(Duration::from_secs)
        .ok_or_else(wrong)
}

#[derive(Debug, Serialize)]
struct Written {
    id: ClaimId,
    expires_at: Timestamp,
    uses: u32,
    file: PathBuf,
}

impl Shown for Written {
    fn text(&self, _now: Timestamp) -> String {
        facts([
            ("claim", self.id.to_string()),
            (
                "file",
                format!("{} (a secret: bring it there by hand)", self.file.display()),
            ),
            (
                "for",
                if self.uses == 1 {
                    "one device".into()
                } else {
                    format!("{} devices", self.uses)
                },
            ),
            ("expires", to_the_second(self.expires_at)),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn durations_without_a_unit_are_refused() {
        assert_eq!(duration("15m").map(|d| d.as_secs()), Ok(900));
        for wrong in ["", "15", "m", "0s", "1w", "99999999999999999999d", "1.5h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
