//! What cargo knows of the packages.

use std::{collections::BTreeSet, process::Command};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// A package of the dependency graph.
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) licence: String,
    pub(crate) is_ours: bool,
    /// Names of the packages that its code uses (not its tests, not its build script).
    pub(crate) dependencies: Vec<String>,
}

/// All packages that are compiled for this machine.
pub(crate) fn packages() -> Result<Vec<Package>> {
    let metadata: Value =
        serde_json::from_str(&cargo(&["metadata", "--format-version=1", "--locked"])?)?;
    let packages = metadata["packages"].as_array().context("no packages")?;
    // The metadata names packages that weak features only mention; the tree does not.
    let tree = cargo(&["tree", "--workspace", "--edges=all", "--prefix=none", "--format={p}"])?;
    let words = tree.lines().map(|line| line.split_whitespace());
    let used: BTreeSet<_> = words.filter_map(|mut words| words.next()).collect();
    let all = packages.iter().map(package);
    Ok(all.filter(|package| used.contains(package.name.as_str())).collect())
}

fn cargo(arguments: &[&str]) -> Result<String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo).args(arguments).current_dir(crate::root()).output()?;
    if !output.status.success() {
        bail!("cargo {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn package(value: &Value) -> Package {
    let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let all = value["dependencies"].as_array().map(Vec::as_slice).unwrap_or_default();
    let used = all.iter().filter(|dependency| dependency["kind"].is_null());
    let names = used.filter_map(|dependency| dependency["name"].as_str());
    Package {
        name: text("name"),
        version: text("version"),
        licence: text("license"),
        is_ours: value["source"].is_null(),
        dependencies: names.map(str::to_owned).collect(),
    }
}
