use tokio::sync::watch;

/// Why sending ended; the later ones outweigh the earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StopCause {
    /// The schedule is complete and every response came in.
    Done,
    /// The schedule is complete; responses still missing after the drain were cut.
    DrainDeadline,
    /// An `abort_when` rule: nothing more is sent, what is in flight is waited for as at the end.
    Abort,
    /// A signal: nothing more is sent, what is in flight is cut.
    Interrupt,
}

impl StopCause {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::DrainDeadline => "drain deadline",
            Self::Abort => "abort",
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

/// What the workers hear: to stop before the schedule is complete, and why.
#[derive(Clone, Debug)]
pub struct StopSignal(watch::Receiver<StopCause>);

impl StopSignal {
    #[must_use]
    pub fn new() -> (watch::Sender<StopCause>, Self) {
        let (sender, receiver) = watch::channel(StopCause::Done);
        (sender, Self(receiver))
    }

    /// Returns when sending shall stop; never, if nothing asks for it.
    pub async fn wait(&mut self) -> StopCause {
        self.wait_graver(StopCause::Done).await
    }

    /// Returns when there is a graver cause than the one that is known.
    pub async fn wait_graver(&mut self, known: StopCause) -> StopCause {
        match self.0.wait_for(|cause| *cause > known).await.map(|cause| *cause) {
            Ok(cause) => cause,
            Err(_) => std::future::pending().await,
        }
    }
}
