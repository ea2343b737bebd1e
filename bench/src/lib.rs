//! Micro-benchmarks and the load generator.
