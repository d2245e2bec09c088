use std::cell::{Cell, RefCell};

use cookie_store::CookieStore;
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Uri};
use url::Url;

use super::values::Captured;
use crate::transport::Headers;

/// What a user keeps from request to request: cookies, and what the login captured.
#[derive(Default)]
pub struct Session {
    jar: RefCell<CookieStore>,
    /// Whether the jar has anything, which most never have.
    any: Cell<bool>,
    pub captured: RefCell<Captured>,
    /// Held while somebody logs in; says whether that is done.
    pub login: tokio::sync::Mutex<bool>,
}

impl Session {
    /// Keeps what a response sets.
    pub fn store(&self, uri: &Uri, headers: &Headers) {
        if !headers.sets_cookies() {
            return;
        }
        let Ok(url) = Url::parse(&uri.to_string()) else { return };
        let mut jar = self.jar.borrow_mut();
        for cookie in headers.map().get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok()) {
            // One that no browser would keep is not kept here either.
            if jar.parse(cookie, &url).is_ok() {
                self.any.set(true);
            }
        }
    }

    /// The target knows this session no more: whoever takes it next logs in again.
    pub fn forget(&self) {
        if let Ok(mut logged_in) = self.login.try_lock() {
            *logged_in = false;
            self.jar.borrow_mut().clear();
            self.any.set(false);
            self.captured.borrow_mut().clear();
        }
    }

    /// By the name that stands for each where it must not be shown.
    pub fn cookies(&self) -> Vec<(String, String)> {
        let jar = self.jar.borrow();
        jar.iter_unexpired().map(|own| (format!("COOKIE_{}", own.name()), own.value().to_owned())).collect()
    }

    pub fn has_cookies(&self) -> bool {
        self.any.get()
    }

    /// Adds what belongs to the address, behind what the scenario itself gives.
    pub fn add_to(&self, url: &str, headers: &mut HeaderMap) {
        if !self.any.get() {
            return;
        }
        let Ok(url) = Url::parse(url) else { return };
        let jar = self.jar.borrow();
        let own: Vec<String> =
            jar.get_request_values(&url).map(|(name, value)| format!("{name}={value}")).collect();
        if own.is_empty() {
            return;
        }
        let given = headers.get(COOKIE).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let all: Vec<String> = given.into_iter().chain(own).collect();
        if let Ok(mut value) = HeaderValue::try_from(all.join("; ")) {
            value.set_sensitive(true);
            headers.insert(COOKIE, value);
        }
    }
}
