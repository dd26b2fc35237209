//! Makes sure that there is a console folder to embed: the console is built by the set-up, never here.

use std::{fs, path::Path};

const PLACEHOLDER: &str = "<!doctype html><meta charset=utf-8><title>Espalier</title>\
<h1>The console is not built</h1><p>Run <code>cargo xtask setup</code>, then build the server again. \
The API is there: <a href=/docs/>/docs</a>.</p>";

fn main() -> std::io::Result<()> {
    let dist = Path::new("../console/dist");
    println!("cargo::rerun-if-changed={}", dist.display());
    if !dist.join("index.html").exists() {
        fs::create_dir_all(dist)?;
        fs::write(dist.join("index.html"), PLACEHOLDER)?;
    }
    Ok(())
}
