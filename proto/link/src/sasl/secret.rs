//! Text that must not be printed, compared by accident, or left in memory.

use precis_profiles::OpaqueString;
use precis_profiles::precis_core::profile::PrecisFastInvocation;
use zeroize::{Zeroize, Zeroizing};

use super::error::SaslError;
use super::limits;

/// A password: no `Debug`, no `PartialEq`, wiped when dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes ownership of the text; the caller wipes its own copies.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself; every use is a place to look at in a review.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Zeroize for Secret {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

/// Prepares a password with the OpaqueString profile (RFC 8265 §4.2).
///
/// Both ends do this before any hashing, so that a password typed on two keyboards is the same.
///
/// # Errors
/// [`SaslError::TooLong`] beyond [`limits::PASSWORD_BYTES`], [`SaslError::Password`] when it is
/// empty or holds code points such as control characters: ask the user for another one.
pub fn prepare_password(password: &str) -> Result<Secret, SaslError> {
    if password.len() > limits::PASSWORD_BYTES {
        return Err(SaslError::TooLong);
    }
    // Printable ASCII is its own prepared form.
    if !password.is_empty() && password.bytes().all(|byte| matches!(byte, 0x20..=0x7e)) {
        return Ok(Secret::new(password));
    }
    match OpaqueString::enforce(password) {
        Ok(prepared) => Ok(Secret::new(prepared)),
        Err(_) => Err(SaslError::Password),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn composed_and_decomposed_letters_are_the_same_password() {
        let composed = prepare_password("caf\u{e9}").unwrap();
        let decomposed = prepare_password("cafe\u{301}").unwrap();
        assert_eq!(composed.expose(), decomposed.expose());
    }

    #[test]
    fn foreign_spaces_become_ascii_spaces_and_ascii_stays() {
        assert_eq!(prepare_password("a\u{3000}b").unwrap().expose(), "a b");
        assert_eq!(prepare_password("correct horse ~!").unwrap().expose(), "correct horse ~!");
    }

    #[test]
    fn empty_passwords_and_control_characters_are_refused() {
        for bad in ["", "tab\tbed", "nul\0", "\u{7f}"] {
            assert_eq!(prepare_password(bad).err(), Some(SaslError::Password), "{bad:?}");
        }
    }

    #[test]
    fn length_is_bounded() {
        assert!(prepare_password(&"x".repeat(limits::PASSWORD_BYTES - 1)).is_ok());
        assert!(prepare_password(&"x".repeat(limits::PASSWORD_BYTES)).is_ok());
        let long = "x".repeat(limits::PASSWORD_BYTES + 1);
        assert_eq!(prepare_password(&long).err(), Some(SaslError::TooLong));
    }
}
