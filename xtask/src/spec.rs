//! Which sections of which specifications are cited, in code and in tests.

use std::{collections::BTreeMap, fs};

use anyhow::{Result, bail};

#[derive(Default)]
struct Cited {
    code: usize,
    tests: usize,
}

/// Citations by document and section.
type Citations = BTreeMap<String, BTreeMap<String, Cited>>;

/// Prints what is cited.
pub(crate) fn run() -> Result<()> {
    for (document, sections) in read()? {
        println!("{document}");
        for (section, cited) in sections {
            println!("  §{section:10} code {:3}  tests {:3}", cited.code, cited.tests);
        }
    }
    Ok(())
}

/// Fails when a citation cannot be read.
pub(crate) fn check() -> Result<()> {
    let cited = read()?;
    let sections: usize = cited.values().map(BTreeMap::len).sum();
    println!("{sections} sections of {} documents are cited", cited.len());
    Ok(())
}

fn read() -> Result<Citations> {
    let mut cited = Citations::new();
    let mut faults = 0;
    for file in crate::tidy::sources()? {
        for (number, line) in fs::read_to_string(&file)?.lines().enumerate() {
            let Some(citation) = line.trim_start().strip_prefix("//= ") else { continue };
            let (is_test, citation) = match citation.strip_prefix("test ") {
                Some(rest) => (true, rest),
                None => (false, citation),
            };
            let Some((document, section)) = parse(citation) else {
                eprintln!("{}:{}: {citation:?} cites nothing", file.display(), number + 1);
                faults += 1;
                continue;
            };
            let entry = cited.entry(document).or_default().entry(section).or_default();
            if is_test { entry.tests += 1 } else { entry.code += 1 }
        }
    }
    if faults > 0 {
        bail!("{faults} citations cannot be read; write `//= XEP-0280 §7` or `//= RFC 6121 §8.5`");
    }
    Ok(cited)
}

/// `XEP-0280 §7` or `RFC 6121 §8.5.2`.
fn parse(citation: &str) -> Option<(String, String)> {
    let (document, section) = citation.split_once(" §")?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let known = document.strip_prefix("XEP-").or_else(|| document.strip_prefix("RFC "));
    let section = section.split_whitespace().next()?;
    known.is_some_and(digits).then(|| (document.to_owned(), section.to_owned()))
}
