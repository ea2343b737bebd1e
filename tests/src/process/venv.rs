//! A Python environment with pinned packages, made once per change of the list.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use super::program::build_folder;

const HELP: &str = "The interop tests need Python 3.10 or newer with its venv and pip modules \
    (Debian: apt-get install python3-venv python3-pip) and access to PyPI or a mirror of it \
    (pip's own settings are honoured).";

/// A Python environment.
#[derive(Clone, Debug)]
pub struct Venv {
    python: PathBuf,
}

impl Venv {
    /// The environment with the packages of `requirements`; made when it is missing or outdated.
    ///
    /// # Errors
    /// When Python, venv, pip or a package is missing; the text says what to install.
    pub fn prepare(requirements: &Path) -> anyhow::Result<Self> {
        let target = build_folder()?;
        let target = target.parent().context("a target folder")?;
        // Tests and test processes share the folder: one of them makes it, the others wait.
        let lock = File::create(target.join("interop-venv.lock")).context("a lock file")?;
        lock.lock().context("cannot lock the environment's folder")?;
        let folder = target.join("interop-venv");
        let python = folder.join("bin").join("python");
        let stamp = folder.join("requirements.txt");
        let wanted = std::fs::read(requirements)
            .with_context(|| format!("cannot read {}", requirements.display()))?;
        if std::fs::read(&stamp).is_ok_and(|made| made == wanted) && python.is_file() {
            return Ok(Self { python });
        }
        if folder.exists() {
            std::fs::remove_dir_all(&folder).context("cannot remove the outdated environment")?;
        }
        step("python3 -m venv", Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
        let mut install = Command::new(&python);
        install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]);
        step("pip install", install.arg(requirements))?;
        std::fs::write(&stamp, wanted).context("cannot mark the environment as complete")?;
        Ok(Self { python })
    }

    /// A command that runs a script.
    #[must_use]
    pub fn script(&self, script: &Path) -> Command {
        let mut command = Command::new(&self.python);
        // Nothing is written next to the sources.
        command.arg("-B").arg(script).env("PYTHONUNBUFFERED", "1");
        command
    }
}

fn step(name: &str, command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("cannot run {name}. {HELP}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{name} failed ({}):\n{}\n{HELP}", output.status, said.trim());
    }
    Ok(())
}
