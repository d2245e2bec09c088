//! What an exchange's time goes into. Shared by those who exchange requests and those who count them.

/// In nanoseconds; `None` where a phase did not take place or could not be seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases {
    /// Looking up the host's name.
    pub dns_ns: Option<u64>,
    pub connect_ns: Option<u64>,
    pub tls_ns: Option<u64>,
    /// From the request's first byte out to the response's first byte in.
    pub first_byte_ns: Option<u64>,
    /// From the response's first byte to its last.
    pub body_ns: Option<u64>,
}

impl Phases {
    pub const NAMES: [&'static str; 5] = ["dns", "connect", "tls", "first_byte", "body"];

    /// In the order of [`Self::NAMES`].
    #[must_use]
    pub fn values(&self) -> [Option<u64>; 5] {
        [self.dns_ns, self.connect_ns, self.tls_ns, self.first_byte_ns, self.body_ns]
    }
}
