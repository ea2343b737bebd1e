//! Accounts and their credentials.
