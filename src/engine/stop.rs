use tokio::sync::watch;

/// Why sending ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopCause {
    /// The schedule is complete and every response came in.
    Done,
    /// The schedule is complete; responses still missing after the drain were cut.
    DrainDeadline,
    /// A signal: nothing more is sent, what is in flight is cut.
    Interrupt,
}

impl StopCause {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::DrainDeadline => "drain deadline",
            Self::Interrupt => "interrupt",
        }
    }
}

/// A signal from outside that ends everything; holds the signal's name once it came.
#[derive(Clone, Debug)]
pub struct Interrupt(watch::Receiver<Option<&'static str>>);

impl Interrupt {
    #[must_use]
    pub fn new() -> (watch::Sender<Option<&'static str>>, Self) {
        let (sender, receiver) = watch::channel(None);
        (sender, Self(receiver))
    }

    #[must_use]
    pub fn signal(&self) -> Option<&'static str> {
        *self.0.borrow()
    }

    /// Returns when a signal has come; never, if none does.
    pub async fn wait(&mut self) {
        if self.0.wait_for(Option::is_some).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
