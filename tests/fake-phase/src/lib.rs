//! Phase over TLS on loopback.
