//! What faults of an object store mean to whoever has to mend them.

use std::path::Path;

use object_store::Error as Fault;

use crate::error::Error;

/// Whether it helps to wait.
pub enum Problem {
    Lasting(Error),
    /// It cannot be reached now.
    Away(Error),
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::Lasting(error) | Problem::Away(error) => error,
        }
    }
}

/// With all causes.
fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(own) = cause {
        let own_text = own.to_string();
        if !text.contains(&own_text) {
            text = format!("{text}: {own_text}");
        }
        cause = own.source();
    }
    text
}

/// With all causes, on one line; of an answer only its code and its message.
pub fn one_line(error: &dyn std::error::Error) -> String {
    let text = in_full(error);
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    // What comes before says how often it was tried, and where, which whoever reads it knows.
    let line = line.rsplit_once(" - ").map_or(line.as_str(), |(_, last)| last);
    let within = |tag: &str| -> Option<&str> {
        line.split_once(&format!("<{tag}>"))?.1.split_once(&format!("</{tag}>")).map(|(own, _)| own)
    };
    let told = match (within("Code"), within("Message")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        _ => line.replace("HTTP error: error sending request: ", ""),
    };
    told.trim_end_matches('.').chars().take(300).collect()
}

/// Without the addresses that were asked, whose words are a bucket's or a feature's name; but for those that give credentials.
fn without_addresses(text: &str) -> String {
    let known = |word: &&str| {
        let at = word.find("http://").or_else(|| word.find("https://"));
        at.is_none_or(|at| {
            ["169.254.", "metadata.google.internal"].iter().any(|own| word[at..].contains(own))
        })
    };
    text.split_whitespace().filter(known).collect::<Vec<_>>().join(" ")
}

/// What a fault means to whoever has to mend it.
pub fn problem(url: &str, operation: &'static str, fault: &Fault) -> Problem {
    let (whole, text) = (without_addresses(&in_full(fault)), one_line(fault));
    let has = |words: &[&str]| words.iter().any(|word| whole.contains(word));
    let url = Path::new(url);
    let lasting =
        |reason: String, hint: &str| Problem::Lasting(Error::input(url, operation, reason).with_hint(hint));
    if has(&["PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraint", "301 Moved"]) {
        return lasting(format!("the bucket is in another region: {text}"), "set AWS_REGION to the bucket's");
    }
    if has(&["NoSuchBucket", "bucket does not exist", "ContainerNotFound", "ContainerBeingDeleted"]) {
        return lasting("there is no such bucket".into(), "is its name right? loadgate creates none");
    }
    if has(&["URL scheme is not allowed"]) {
        return lasting(
            "its endpoint has no TLS, which is not allowed".into(),
            "AWS_ALLOW_HTTP=true allows it (AZURE_ALLOW_HTTP, GOOGLE_ALLOW_HTTP)",
        );
    }
    match fault {
        Fault::Unauthenticated { .. } => lasting(
            format!("the credentials are not accepted: {text}"),
            "look at AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or what stands for them elsewhere, and at this machine's clock",
        ),
        Fault::PermissionDenied { .. } => lasting(
            format!("the credentials may not do that: {text}"),
            "to read takes list and get (s3:ListBucket, s3:GetObject), to store put (s3:PutObject), to prune delete",
        ),
        Fault::NotFound { .. } => lasting(format!("it is not there: {text}"), "is the address right?"),
        Fault::NotImplemented { .. } | Fault::NotSupported { .. } => lasting(
            format!(
                "this store cannot write under a condition, without which two at once may lose one: {text}"
            ),
            "use a store that knows If-Match and If-None-Match",
        ),
        _ if has(&["InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken"]) => {
            lasting(
                format!("the credentials are not accepted: {text}"),
                "look at AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and at this machine's clock",
            )
        }
        _ if has(&["credential", "169.254.", "metadata", "IMDS"]) => lasting(
            format!("there are no credentials: {text}"),
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (GOOGLE_APPLICATION_CREDENTIALS, AZURE_STORAGE_ACCOUNT_KEY), or run \
             where a role gives them",
        ),
        _ => Problem::Away(
            Error::output(url, operation, text).with_hint("is the store up, and can this machine reach it?"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn away(message: &str) -> bool {
        let fault = Fault::Generic { store: "S3", source: message.into() };
        matches!(problem("s3://perf/metadata-service", "read", &fault), Problem::Away(_))
    }

    #[test]
    fn a_bucket_named_like_a_source_of_credentials_is_away_when_it_is_away() {
        let refused = "after 3 retries - HTTP error: error sending request: connection refused";
        assert!(away(&format!(
            "Error performing GET http://127.0.0.1:9/perf/metadata-service?list-type=2 in 1s, {refused}"
        )));
        assert!(!away(&format!(
            "Error performing PUT http://169.254.169.254/latest/api/token in 1s, {refused}"
        )));
        assert!(!away("the credential provider is not enabled"));
    }
}
