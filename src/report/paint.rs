/// Colour by meaning, always beside a word that says the same.
#[derive(Clone, Copy, Debug)]
pub struct Paint {
    pub enabled: bool,
}

impl Paint {
    fn wrap(self, code: &str, text: &str) -> String {
        if self.enabled { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    #[must_use]
    pub fn good(self, text: &str) -> String {
        self.wrap("32", text)
    }

    #[must_use]
    pub fn bad(self, text: &str) -> String {
        self.wrap("1;31", text)
    }

    #[must_use]
    pub fn caution(self, text: &str) -> String {
        self.wrap("33", text)
    }

    #[must_use]
    pub fn faint(self, text: &str) -> String {
        self.wrap("2", text)
    }
}
