//! `longwire serve --dev`: a server on this machine, without a file and without questions.

mod certificate;

pub use certificate::{DevCertificateError, self_signed};
