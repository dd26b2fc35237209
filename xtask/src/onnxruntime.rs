//! ONNX Runtime: loaded by our programs at run time, never linked.

use std::path::PathBuf;

use crate::cache::Cache;
use crate::failure::{Failure, Result, While};
use crate::npm::{self, Package};

/// One package with the libraries of all platforms. Its own install script would fetch CUDA parts
/// from another host.
const PACKAGE: Package = Package {
    name: "onnxruntime-node",
    version: "1.30.0",
    integrity: "sha512-twhs1C2C/BFkz1yc5OY0KIU2GUq6DURO7hD4bx5Q2Qy3nAMJwRXW8xU3NVczE29VA9lolLOYepoD8fjTGOfIqw==",
};

/// The variables that name a library of the user's own, in the order in which our programs read
/// them.
const VARIABLES: [&str; 2] = ["ESPALIER_ORT", "ORT_DYLIB_PATH"];

/// The library, fetched if it is not there: `onnxruntime-VERSION/libonnxruntime.so` in the user's
/// cache.
pub fn ensure() -> Result<PathBuf> {
    if let Some(own) = named()? {
        return Ok(own);
    }
    let (member, library) = platform()?;
    let item = format!("onnxruntime-{}", PACKAGE.version);
    let folder = Cache::of_user()?.item_or_make(&item, PACKAGE.integrity, |incoming| {
        let tarball = PACKAGE.fetch(incoming)?;
        npm::unpack(&tarball, incoming, &[member])?;
        let keep = |from: PathBuf, to: PathBuf| {
            std::fs::rename(&from, to).while_trying(|| format!("keep {}", from.display()))
        };
        keep(incoming.join(member), incoming.join(library))?;
        let leftovers = [tarball, incoming.join("bin")];
        leftovers.into_iter().try_for_each(|path| {
            discard(&path).while_trying(|| format!("remove {}", path.display()))
        })
    })?;
    Ok(folder.join(library))
}

fn named() -> Result<Option<PathBuf>> {
    for variable in VARIABLES {
        let Some(path) = std::env::var_os(variable)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
        else {
            continue;
        };
        if path.is_file() {
            return Ok(Some(path));
        }
        return Err(Failure::new(format!(
            "{variable} names {}, which is not a file; name a libonnxruntime, or unset it",
            path.display()
        )));
    }
    Ok(None)
}

fn platform() -> Result<(&'static str, &'static str)> {
    match (std::env::consts::OS, std::env::consts::ARCH) {
        ("linux", "x86_64") => Ok((
            "bin/napi-v6/linux/x64/libonnxruntime.so.1",
            "libonnxruntime.so",
        )),
        ("linux", "aarch64") => Ok((
            "bin/napi-v6/linux/arm64/libonnxruntime.so.1",
            "libonnxruntime.so",
        )),
        ("macos", "aarch64") => Ok((
            "bin/napi-v6/darwin/arm64/libonnxruntime.1.dylib",
            "libonnxruntime.dylib",
        )),
        (system, machine) => Err(Failure::new(format!(
            "no ONNX Runtime is fetched for {system} on {machine}; set ESPALIER_ORT to a \
             libonnxruntime 1.24 or newer"
        ))),
    }
}

fn discard(path: &std::path::Path) -> std::io::Result<()> {
    if path.is_dir() {
        std::fs::remove_dir_all(path)
    } else {
        std::fs::remove_file(path)
    }
}
