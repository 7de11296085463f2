//! The edge: one file per product and port.
