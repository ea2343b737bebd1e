//! The rules of the house that a machine can check.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};

use crate::metadata::{self, Package};

/// Which of our packages may use which; what is not listed fails.
const DIRECTIONS: &[(&str, &[&str])] = &[
    ("xml", &[]),
    ("store", &[]),
    ("stanza", &["xml"]),
    ("link", &["stanza", "xml"]),
    ("transport", &["link"]),
    ("client", &["link", "stanza", "transport", "xml"]),
    ("core", &["stanza", "store", "xml"]),
    ("im", &["core", "stanza", "xml"]),
    ("accounts", &["core", "stanza", "store"]),
    (
        "gateway",
        &["link", "core", "im", "accounts", "store", "stanza", "xml", "client", "transport"],
    ),
    ("bench", &["gateway", "client", "core", "im", "accounts", "store", "stanza", "xml", "link"]),
    ("tests", &["gateway", "client", "core", "im", "accounts", "store", "stanza", "xml", "link"]),
    ("xtask", &[]),
];

/// Lines of a source file, tests beside it counted with it.
const FILE_LINES_MAX: usize = 800;

/// What the gateway's side may do and the sans-IO side may not.
const SANS_IO: &[&str] = &[
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "tokio::net",
    "Instant::now",
    "SystemTime::now",
    "rand::rng(",
];

/// What nobody leaves behind.
const NOWHERE: &[&str] = &["todo!(", "unimplemented!(", "dbg!(", "TODO", "FIXME"];

/// Licences that may be linked into a program under MIT OR Apache-2.0.
const LICENCES: &[&str] = &[
    "MIT",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "0BSD",
    "Unicode-3.0",
    "Unlicense",
    "CC0-1.0",
    "MPL-2.0",
    "CDLA-Permissive-2.0",
    "BSL-1.0",
    "OpenSSL",
    "MIT-0",
];

/// Packages that must not get in, with what takes their place.
const BANNED: &[(&str, &str)] = &[
    ("ring", "aws-lc-rs"),
    ("openssl", "rustls"),
    ("native-tls", "rustls"),
    ("rustls-pemfile", "rustls-pki-types"),
    ("bincode", "a versioned record"),
    ("async-std", "tokio"),
    ("h3-quinn", "our own back end"),
];

const DOCUMENTS: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    "STYLE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
    "doap.xml",
    "docs/features.md",
    "deny.toml",
    "gateway/tests/order.snap",
];

pub(crate) fn run() -> Result<()> {
    let mut faults = Vec::new();
    let packages = metadata::packages()?;
    check_directions(&packages, &mut faults);
    check_licences(&packages, &mut faults);
    check_duplicates(&packages, &mut faults);
    for file in sources()? {
        check_file(&file, &fs::read_to_string(&file)?, &mut faults);
    }
    for name in DOCUMENTS {
        if !crate::root().join(name).is_file() {
            faults.push(format!("{name} is missing"));
        }
    }
    for fault in &faults {
        eprintln!("tidy: {fault}");
    }
    if !faults.is_empty() {
        bail!("{} faults", faults.len());
    }
    Ok(())
}

fn check_directions(packages: &[Package], faults: &mut Vec<String>) {
    let short = |name: &str| name.strip_prefix("longwire-").unwrap_or(name).to_owned();
    let ours: Vec<_> = packages.iter().filter(|package| package.is_ours).collect();
    for package in &ours {
        let name = short(&package.name);
        let Some((_, allowed)) = DIRECTIONS.iter().find(|(known, _)| *known == name) else {
            faults.push(format!("{name} has no line in DIRECTIONS"));
            continue;
        };
        for used in package.dependencies.iter().filter(|used| used.starts_with("longwire-")) {
            if !allowed.contains(&short(used).as_str()) {
                faults.push(format!("{name} must not use {}", short(used)));
            }
        }
    }
}

fn check_licences(packages: &[Package], faults: &mut Vec<String>) {
    for package in packages.iter().filter(|package| !package.is_ours) {
        if let Some((name, instead)) = BANNED.iter().find(|(name, _)| *name == package.name) {
            faults.push(format!("{name} is banned: use {instead}"));
        }
        let words = package.licence.replace(['/', '(', ')'], " ");
        let alternatives = words.split(" OR ").flat_map(str::split_whitespace);
        if !alternatives.clone().any(|word| LICENCES.contains(&word)) {
            faults.push(format!("{} has the licence {:?}", package.name, package.licence));
        }
    }
}

/// Two versions of one package cost memory and build time; each pair needs a reason.
fn check_duplicates(packages: &[Package], faults: &mut Vec<String>) {
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in packages {
        versions.entry(&package.name).or_default().push(&package.version);
    }
    let allowed = fs::read_to_string(crate::root().join("deny.toml")).unwrap_or_default();
    for (name, versions) in versions.iter().filter(|(_, versions)| versions.len() > 1) {
        if !allowed.contains(&format!("name = \"{name}\"")) {
            faults.push(format!("{name} is there in the versions {}", versions.join(" and ")));
        }
    }
}

fn check_file(path: &Path, text: &str, faults: &mut Vec<String>) {
    let root = crate::root();
    let name = path.strip_prefix(&root).unwrap_or(path).display().to_string();
    if name.starts_with("xtask/") {
        return;
    }
    let lines = text.lines().count();
    if lines > FILE_LINES_MAX {
        faults.push(format!("{name} has {lines} lines, more than {FILE_LINES_MAX}"));
    }
    if name.ends_with("lib.rs") && lines > 120 {
        faults.push(format!("{name} has {lines} lines: a crate root is an index"));
    }
    if !text.starts_with("//!") && !is_test(&name) {
        faults.push(format!("{name} does not say what it is for (//!)"));
    }
    let is_sans_io = name.starts_with("proto/") || name.starts_with("server/");
    let product = text.split("\n#[cfg(test)]").next().unwrap_or(text);
    let code = product.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
    for (number, line) in code {
        let place = format!("{name}:{}", number + 1);
        for word in NOWHERE.iter().filter(|word| line.contains(**word)) {
            faults.push(format!("{place} has {word}"));
        }
        let io = SANS_IO.iter().filter(|word| is_sans_io && line.contains(**word));
        for word in io.filter(|_| !is_test(&name) && !line.contains("tokio::time::Instant::now")) {
            faults.push(format!("{place} has {word}, which does not belong there"));
        }
    }
}

fn is_test(name: &str) -> bool {
    name.contains("/tests/") || name.ends_with("/tests.rs") || name.contains("/benches/")
}

pub(crate) fn sources() -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![crate::root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && !name.starts_with('.') && name != "target" {
                folders.push(path);
            } else if name.ends_with(".rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}
