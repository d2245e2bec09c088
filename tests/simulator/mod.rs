//! Made runs by a generative model of what real ones look like, judged by the real judge.
//!
//! Service times are log-normal with a Pareto tail; load is an AR(1) process shared by all features; instances differ by a
//! run effect of which half is shared by all features; errors are Poisson around a rate that varies from run to run. The
//! figures stand in [`World`].

pub mod canary;
pub mod model;
pub mod peers;
pub mod trial;
