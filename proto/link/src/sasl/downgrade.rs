//! SCRAM downgrade protection: the server signs what it offered (XEP-0474 0.5.0).

use super::encoding::encode_base64;
use super::hash::Hash;

/// What a server offered in its stream features, for the hash of XEP-0474 §4.1.
///
/// Only the list of the SASL profile in use counts, not that of the other one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Advertised {
    /// The mechanism names exactly as they were sent, unknown ones included.
    pub mechanisms: Vec<String>,
    /// The channel-binding types of XEP-0440; `None` when that feature was not sent.
    pub bindings: Option<Vec<String>>,
}

impl Advertised {
    /// The value of the `h` attribute.
    //= XEP-0474 §4.1
    pub fn hash(&self, hash: Hash) -> String {
        let mut text = joined(&self.mechanisms);
        if let Some(bindings) = &self.bindings {
            text.push('\x1f');
            text.push_str(&joined(bindings));
        }
        encode_base64(hash.digest(text.as_bytes()).expose())
    }
}

fn joined(names: &[String]) -> String {
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.sort_unstable();
    names.join("\x1e")
}

#[cfg(test)]
mod tests {
    use super::*;

    //= test XEP-0474 §4.3
    #[test]
    fn the_example_of_the_specification() {
        let offered = Advertised {
            mechanisms: vec!["SCRAM-SHA-1-PLUS".into(), "SCRAM-SHA-1".into()],
            bindings: Some(vec!["tls-server-end-point".into(), "tls-exporter".into()]),
        };
        assert_eq!(offered.hash(Hash::Sha1), "G6k/rBLDqgOhRRaCuuatSDFkJ08=");
    }

    #[test]
    fn order_does_not_matter_but_content_does() {
        let offer = |names: &[&str], bindings: Option<&[&str]>| Advertised {
            mechanisms: names.iter().map(|name| (*name).to_owned()).collect(),
            bindings: bindings.map(|list| list.iter().map(|name| (*name).to_owned()).collect()),
        };
        let base = offer(&["A", "B"], None).hash(Hash::Sha256);
        assert_eq!(base, offer(&["B", "A"], None).hash(Hash::Sha256));
        assert_ne!(base, offer(&["A"], None).hash(Hash::Sha256));
        assert_ne!(base, offer(&["A", "B"], Some(&[])).hash(Hash::Sha256));
        assert_ne!(base, offer(&["A"], Some(&["B"])).hash(Hash::Sha256));
    }
}
