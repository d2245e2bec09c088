//! Whole behaviour through the binary, against real servers.
//!
//! - `authoring`    mistakes in scenario files and flags: place, caret, nearest name, exit code 2, nothing sent
//! - `conformance`  both transports against the same misbehaving servers: the same exchange, the same error class
//! - `demo`         the embedded target keeps its promises
//! - `verdicts`     every fault of the demo and what the gate says of it, with recorded baselines
//! - `canaries`     two arms under load at once: early stop, calibration, a flag's cohort
//! - `arms`         the same without a latency: what both do, who answers, commands, mistakes
//! - `probes`       figures that others measure, beside the load: what is missing or late holds
//! - `alerts`       who is told, and that nothing that was to be told is lost
//! - `rollouts`     deployments phase by phase: commands that run once, holds that wait for people, the way back
//! - `soaks`        the same with measured soaks and loads: near-misses, two of three, slow from half of the traffic on
//! - `features`     scenarios written from scratch against small real services: login, upload, search
//! - `steps`        all else that a step can say: who asks, redirects, what stands around, bodies, samples
//! - `telemetry`    figures while a load runs: Prometheus scrapes and is written to, OTLP
//! - `streams`      server-sent events and `WebSocket`s, TLS and client certificates included
//! - `hostile`      bad bytes from the target: one clear error class each, memory bounded
//! - `faults`       targets that misbehave in every way that a network knows: resets, silence, TLS, names, frames, redirects
//! - `rows`         every functional row of the mission, and the fault of the demo that breaks it
//! - `endings`      Ctrl-C, kill -9, a target that is down, a stalled target
//! - `survival`     its own machine fails it: kill -9 anywhere, no descriptors, ports or readers, a clock that is set
//! - `disks`        full disks, and such as may not be written: at each write of each command
//! - `projects`     services, environments, profiles; many verdicts as one
//! - `quick`        one URL from flags
//! - `load`         stages, branches, virtual users, shards, abort rules; the interval log read by others
//! - `shards`       parts of one load by several processes: merged without loss, judged as one, what lacks is named
//! - `nginx`        a server that nobody here wrote
//! - `imports`      what others recorded or describe: HAR by Chromium, public OpenAPI documents, Postman, curl
//! - `judging`      made records through the judge: outcomes, precedence, looks
//! - `baselines`    the life of stored references, on made runs: refresh, accept, creep, prune, earlier formats
//! - `objects`      baselines and results in object storage, by a server that nobody here wrote
//! - `operating`    made runs by a generative model through the judge: false alarms, power
//! - `sides`        made canaries with something odd about them: no pass, no rollback
//! - `corners`      the corners that VERDICT.md lists
//! - `reports`      every format of the same stored runs, read by those who will: schema, parser; what a run tells
//! - `deployments`  the document that people sign: nothing is called well that was not shown
//! - `pages`        pages in a browser, comments by GitHub's reader; hostile text; runs that are large
//! - `kits`         what CI systems and clusters are given: manifests that they know, arguments that the binary knows
//! - `gates`        gates that controllers ask for over HTTP: Argo Rollouts' web metric, Flagger's webhooks
//! - `leaks`        secrets with one core, and a target that says back whatever it is told: in no output, log or file
//! - `bounds`       where load may go, how much of it, who it says it is from; records that were changed
//! - `contract`     flags, exit codes, files and schemas are what STABILITY.md, the README and `--help` say
//! - `layers`       the import direction of the source

#[path = "../simulator/mod.rs"]
#[allow(dead_code, reason = "the bench uses all of it")]
mod simulator;

mod alerts;
mod arms;
mod authoring;
mod baselines;
mod bounds;
mod canaries;
mod conformance;
mod conformance_servers;
mod contract;
mod corners;
mod demo;
mod deployments;
mod disks;
mod endings;
mod fault_runs;
mod fault_servers;
mod faults;
mod features;
mod gates;
mod hostile;
mod imports;
mod judging;
mod kits;
mod layers;
mod leaks;
mod load;
mod nginx;
#[cfg(feature = "object-store")]
mod objects;
mod operating;
mod pages;
mod probes;
mod projects;
mod quick;
mod reports;
mod rollouts;
mod rows;
mod servers;
mod shards;
mod sides;
mod soaks;
mod steps;
mod streams;
mod support;
mod survival;
#[cfg(feature = "telemetry")]
mod telemetry;
mod verdicts;
