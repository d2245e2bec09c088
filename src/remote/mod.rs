//! What is asked, or told, beside the load: one client for probes and webhooks. It trusts the same certificates as the load
//! does, is never told to trust any, and goes through a proxy where the environment names one.

mod client;

pub use client::{Answer, Remote, Unanswered};
