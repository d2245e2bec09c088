//! Who is told what a run came to. What is to be told is written down before it is sent, and stays there until it was taken.

mod message;
mod outbox;
mod send;

pub use message::{Message, News, messages, news};
pub use outbox::Outbox;
pub use send::{Delivered, Delivery, deliver};
