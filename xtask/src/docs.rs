//! Documents that are derived from the registered features, never written by hand.

use std::{collections::BTreeSet, fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

pub(crate) fn write() -> Result<()> {
    for (path, text) in derive()? {
        fs::write(&path, text).with_context(|| path.display().to_string())?;
        println!("wrote {}", path.display());
    }
    Ok(())
}

pub(crate) fn check() -> Result<()> {
    for (path, text) in derive()? {
        if fs::read_to_string(&path).unwrap_or_default() != text {
            bail!("{} is out of date: run `cargo xtask docs`", path.display());
        }
    }
    Ok(())
}

fn derive() -> Result<Vec<(PathBuf, String)>> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["run", "--quiet", "--package", "longwire-gateway", "--", "features", "--json"])
        .current_dir(crate::root())
        .output()?;
    if !output.status.success() {
        bail!("longwire features --json: {}", String::from_utf8_lossy(&output.stderr));
    }
    let features: Value = serde_json::from_slice(&output.stdout)?;
    let features = features.as_array().context("features --json is not a list")?;
    let root = crate::root();
    Ok(vec![
        (root.join("doap.xml"), doap(features)),
        (root.join("docs/features.md"), table(features)),
    ])
}

struct Specification {
    number: u64,
    version: String,
}

fn specifications(feature: &Value) -> Vec<Specification> {
    let xeps = feature["xeps"].as_array().map(Vec::as_slice).unwrap_or_default();
    let parse = |xep: &Value| {
        let version = xep["version"].as_str().unwrap_or_default().to_owned();
        Specification { number: xep["number"].as_u64().unwrap_or(0), version }
    };
    xeps.iter().map(parse).collect()
}

fn doap(features: &[Value]) -> String {
    let mut xeps: Vec<_> = features.iter().flat_map(specifications).collect();
    xeps.sort_by_key(|xep| xep.number);
    xeps.dedup_by_key(|xep| xep.number);
    let mut supported = String::new();
    for Specification { number, version } in xeps {
        supported += &format!(
            "    <implements>\n      <xmpp:SupportedXep>\n        \
             <xmpp:xep rdf:resource=\"https://xmpp.org/extensions/xep-{number:04}.html\"/>\n        \
             <xmpp:version>{version}</xmpp:version>\n        \
             <xmpp:status>complete</xmpp:status>\n      \
             </xmpp:SupportedXep>\n    </implements>\n"
        );
    }
    let mut rfcs: Vec<_> = features.iter().flat_map(rfcs).collect();
    rfcs.sort_unstable();
    rfcs.dedup();
    let mut implemented = String::new();
    for rfc in rfcs {
        implemented +=
            &format!("    <implements rdf:resource=\"https://xmpp.org/rfcs/rfc{rfc}.html\"/>\n");
    }
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <rdf:RDF xmlns=\"http://usefulinc.com/ns/doap#\" \
         xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\" \
         xmlns:xmpp=\"https://linkmauve.fr/ns/xmpp-doap#\">\n  <Project>\n    \
         <name>longwire</name>\n    <shortdesc xml:lang=\"en\">XMPP for links that lose packets</shortdesc>\n    \
         <programming-language>Rust</programming-language>\n    <os>Linux</os>\n    \
         <license rdf:resource=\"https://spdx.org/licenses/MIT\"/>\n    \
         <license rdf:resource=\"https://spdx.org/licenses/Apache-2.0\"/>\n    \
         <category rdf:resource=\"https://linkmauve.fr/ns/xmpp-doap#category-server\"/>\n\
         {implemented}{supported}  </Project>\n</rdf:RDF>\n"
    )
}

fn rfcs(feature: &Value) -> Vec<u64> {
    let rfcs = feature["rfcs"].as_array().map(Vec::as_slice).unwrap_or_default();
    rfcs.iter().filter_map(Value::as_u64).collect()
}

fn table(features: &[Value]) -> String {
    let mut out = String::from(
        "# Features\n\nDerived from what the features register (`cargo xtask docs`).\n\n\
         | feature | specifications | advertised |\n|---|---|---|\n",
    );
    for feature in features {
        let rfcs = rfcs(feature).into_iter().map(|rfc| format!("RFC {rfc}"));
        let xeps = specifications(feature);
        let xeps = xeps.iter().map(|xep| format!("XEP-{:04} {}", xep.number, xep.version));
        let specifications: Vec<_> = rfcs.chain(xeps).collect();
        let disco = feature["disco"].as_array().map(Vec::as_slice).unwrap_or_default();
        let names = disco.iter().filter_map(|pair| pair[1].as_str());
        let names: BTreeSet<_> = names.map(|name| format!("`{name}`")).collect();
        let disco: Vec<_> = names.into_iter().collect();
        out += &format!(
            "| {} | {} | {} |\n",
            feature["name"].as_str().unwrap_or_default(),
            specifications.join(", "),
            disco.join(", ")
        );
    }
    out
}
