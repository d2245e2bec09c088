use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::{Mutex, oneshot};

use super::Line;
use super::connection::Connection;
use super::http2::Sender;
use crate::transport::Request;

/// Which connections a request may use.
#[derive(Default)]
pub struct Lane(Option<RefCell<Pool>>);

impl Lane {
    /// Open model: the worker's own, last in, first out.
    #[must_use]
    pub fn shared() -> Self {
        Self(None)
    }

    /// Closed model: those of one virtual user.
    #[must_use]
    pub fn own() -> Self {
        Self(Some(RefCell::default()))
    }

    pub(super) fn own_pool(&self) -> Option<&RefCell<Pool>> {
        self.0.as_ref()
    }
}

/// Idle connections by where they lead.
#[derive(Default)]
pub struct Pool {
    origins: Vec<Origin>,
}

struct Origin {
    tls: bool,
    host: Box<str>,
    port: u16,
    idle: Vec<Connection>,
    waiting: VecDeque<oneshot::Sender<Box<Connection>>>,
    http2: Option<Sender>,
    speaks_http1: bool,
    gate: Option<Arc<Mutex<()>>>,
}

impl Pool {
    /// Mostly there is one, and never are there many.
    fn find(&mut self, request: &Request) -> Option<&mut Origin> {
        let (tls, (host, port)) = (request.is_tls(), request.endpoint());
        self.origins.iter_mut().find(|o| o.tls == tls && o.port == port && &*o.host == host)
    }

    fn origin(&mut self, request: &Request) -> &mut Origin {
        let (tls, (host, port)) = (request.is_tls(), request.endpoint());
        let at = self.origins.iter().position(|o| o.tls == tls && o.port == port && &*o.host == host);
        let at = at.unwrap_or_else(|| {
            let (idle, waiting, host) = (Vec::new(), VecDeque::new(), host.into());
            self.origins.push(Origin {
                tls,
                host,
                port,
                idle,
                waiting,
                http2: None,
                speaks_http1: false,
                gate: None,
            });
            self.origins.len() - 1
        });
        &mut self.origins[at]
    }

    /// What needs no opening: a shared connection, or the one that was used last if the target has not closed it meanwhile.
    pub fn kept(&mut self, request: &Request, scratch: &RefCell<Box<[u8]>>) -> Option<Line> {
        let origin = self.find(request)?;
        if let Some(sender) = origin.http2.as_ref().filter(|sender| !sender.is_closed()) {
            return Some(Line::Http2(sender.clone()));
        }
        while let Some(mut connection) = origin.idle.pop() {
            if connection.is_quiet(scratch) {
                return Some(Line::Http1(connection));
            }
        }
        None
    }

    /// To whoever has waited longest, else among the idle ones.
    pub fn give(&mut self, request: &Request, connection: Connection) {
        let origin = self.origin(request);
        let mut connection = Box::new(connection);
        while let Some(waiter) = origin.waiting.pop_front() {
            match waiter.send(connection) {
                Ok(()) => return,
                // Whoever waited has gone.
                Err(returned) => connection = returned,
            }
        }
        origin.idle.push(*connection);
    }

    /// The next connection that is given back, while this is waited for.
    pub fn wait(&mut self, request: &Request) -> oneshot::Receiver<Box<Connection>> {
        let (sender, receiver) = oneshot::channel();
        let waiting = &mut self.origin(request).waiting;
        while waiting.front().is_some_and(oneshot::Sender::is_closed) {
            waiting.pop_front();
        }
        waiting.push_back(sender);
        receiver
    }

    pub fn http2(&mut self, request: &Request) -> Option<Sender> {
        self.find(request)?.http2.clone().filter(|sender| !sender.is_closed())
    }

    pub fn keep_http2(&mut self, request: &Request, sender: Sender) {
        self.origin(request).http2 = Some(sender);
    }

    pub fn note_http1(&mut self, request: &Request) {
        self.origin(request).speaks_http1 = true;
    }

    pub fn speaks_http1(&self, request: &Request) -> bool {
        let (tls, (host, port)) = (request.is_tls(), request.endpoint());
        let same = |o: &&Origin| o.tls == tls && o.port == port && &*o.host == host;
        self.origins.iter().find(same).is_some_and(|o| o.speaks_http1)
    }

    /// Held while somebody finds out what the target speaks.
    pub fn gate(&mut self, request: &Request) -> Arc<Mutex<()>> {
        self.origin(request).gate.get_or_insert_default().clone()
    }
}
