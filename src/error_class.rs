//! How a request can fail. Shared by those who exchange requests and those who count them.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// No connection: refused, unreachable, name not found.
    Connect,
    Tls,
    Timeout,
    /// The connection ended before the response was complete.
    Reset,
    /// The response was not valid HTTP, or its body was over the cap.
    Protocol,
    /// A status that the step does not accept.
    Status,
    /// Any other failed check.
    Check,
    /// A response had personal data in it where none may be.
    PersonalData,
}

impl ErrorClass {
    pub const ALL: [Self; 8] = [
        Self::Connect,
        Self::Tls,
        Self::Timeout,
        Self::Reset,
        Self::Protocol,
        Self::Status,
        Self::Check,
        Self::PersonalData,
    ];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Protocol => "protocol",
            Self::Status => "status",
            Self::Check => "check",
            Self::PersonalData => "personal_data",
        }
    }
}
