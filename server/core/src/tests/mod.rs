//! The router as a whole, with a tiny feature.
