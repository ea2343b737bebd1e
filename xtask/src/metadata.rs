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

/// All packages that are compiled for Linux.
pub(crate) fn packages() -> Result<Vec<Package>> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--locked"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(crate::root())
        .output()?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    }
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().context("no packages")?;
    let nodes = metadata["resolve"]["nodes"].as_array().context("no dependency graph")?;
    let used: BTreeSet<_> = nodes.iter().filter_map(|node| node["id"].as_str()).collect();
    let is_used = |package: &&Value| package["id"].as_str().is_some_and(|id| used.contains(id));
    Ok(packages.iter().filter(is_used).map(package).collect())
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
