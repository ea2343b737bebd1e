//! Typed tables, batches and one journal with a durable watermark.
