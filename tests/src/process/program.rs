//! Where the longwire binary is.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, bail};

/// The longwire binary.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
}

impl Program {
    /// The binary named by `LONGWIRE_BIN`, or the one of this build, brought up to date first.
    ///
    /// # Errors
    /// When it cannot be built; the text says how to name one.
    pub fn build() -> anyhow::Result<Self> {
        static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
        let built = BUILT.get_or_init(|| locate().map_err(|error| format!("{error:#}")));
        match built {
            Ok(path) => Ok(Self { path: path.clone() }),
            Err(error) => bail!("{error}"),
        }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A command that runs it.
    #[must_use]
    pub fn command(&self) -> Command {
        Command::new(&self.path)
    }
}

/// The folder of this build: `target/debug`, `target/release`.
pub(super) fn build_folder() -> anyhow::Result<PathBuf> {
    // target/debug/deps/interop-0123 -> target/debug
    let test = std::env::current_exe().context("the path of this test")?;
    let folder = test.ancestors().nth(2).context("a test inside a target folder")?;
    Ok(folder.to_owned())
}

fn locate() -> anyhow::Result<PathBuf> {
    if let Some(named) = std::env::var_os("LONGWIRE_BIN") {
        let path = PathBuf::from(named);
        if !path.is_file() {
            bail!("LONGWIRE_BIN names {}, which is not a file", path.display());
        }
        return Ok(path);
    }
    let folder = build_folder()?;
    // Always: a binary that is there may be older than the code under test.
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--quiet", "--package", "longwire-gateway", "--bin", "longwire"]);
    build.current_dir(env!("CARGO_MANIFEST_DIR"));
    if folder.ends_with("release") {
        build.arg("--release");
    }
    let status = build.status().context("cannot run cargo to build longwire; set LONGWIRE_BIN")?;
    if !status.success() {
        bail!("longwire could not be built ({status}); set LONGWIRE_BIN to a binary");
    }
    let path = folder.join(format!("longwire{}", std::env::consts::EXE_SUFFIX));
    if !path.is_file() {
        bail!("cargo built longwire, but not as {}; set LONGWIRE_BIN", path.display());
    }
    Ok(path)
}
