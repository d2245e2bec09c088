use serde::{Deserialize, Serialize};

use super::histogram::Histogram;
use crate::phases::Phases;

/// Where an endpoint's time went, over all its requests. A phase that a request did not have is not counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PhaseHistograms {
    pub dns: Histogram,
    pub connect: Histogram,
    pub tls: Histogram,
    pub first_byte: Histogram,
    pub body: Histogram,
}

impl PhaseHistograms {
    pub fn add(&mut self, phases: &Phases) {
        for (histogram, ns) in self.all_mut().into_iter().zip(phases.values()) {
            if let Some(ns) = ns {
                histogram.record(ns);
            }
        }
    }

    pub fn merge(&mut self, other: &Self) {
        for (own, other) in self.all_mut().into_iter().zip(other.all()) {
            own.merge(other);
        }
    }

    /// In the order of [`Phases::NAMES`].
    #[must_use]
    pub fn all(&self) -> [&Histogram; 5] {
        [&self.dns, &self.connect, &self.tls, &self.first_byte, &self.body]
    }

    fn all_mut(&mut self) -> [&mut Histogram; 5] {
        [&mut self.dns, &mut self.connect, &mut self.tls, &mut self.first_byte, &mut self.body]
    }
}
