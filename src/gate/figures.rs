use super::arm::Arm;
use super::pipeline::Run;
use super::record::scenario_records_of;
use super::request::{GateEvent, GateRequest};
use crate::error::Result;
use crate::remote::Remote;
use crate::telemetry::{EndpointLabels, Telemetry};

/// Before anything is sent, so that an address that is taken is told at once; `None`: nobody asks for figures.
pub fn start_telemetry(request: &GateRequest, arms: &[Arm]) -> Result<Option<Telemetry>> {
    if request.telemetry.is_empty() || !request.load {
        return Ok(None);
    }
    let pairing = request.beside.as_ref().map(|beside| beside.pairing);
    let mut labels = Vec::new();
    for arm in arms {
        let (server, port) = place(arm.spec.address_or(""));
        for scenario in scenario_records_of(&arm.loaded(), request.slice(), pairing) {
            labels.extend(scenario.endpoints.iter().map(|plan| {
                let step = plan.endpoint.strip_prefix(&format!("{}/", scenario.feature));
                let (method, url) = plan.request.rsplit_once(' ').unwrap_or(("", &plan.request));
                EndpointLabels {
                    feature: scenario.feature.clone(),
                    step: step.unwrap_or(&plan.endpoint).to_owned(),
                    method: method.rsplit(' ').next().unwrap_or(method).to_owned(),
                    url_template: request.secrets.scrub(url),
                    server: server.clone(),
                    port,
                    arm: (arms.len() > 1).then(|| arm.name()),
                }
            }));
        }
    }
    let remote = Remote::new(&request.transport)?;
    let who = (request.id.clone(), request.env.clone(), request.service.clone());
    Telemetry::start(request.telemetry.clone(), remote, who, labels).map(Some)
}

/// Host and port of an address.
fn place(address: &str) -> (String, u16) {
    let url = url::Url::parse(address).ok();
    let host = url.as_ref().and_then(|url| url.host_str()).unwrap_or_default().to_owned();
    (host, url.and_then(|url| url.port_or_known_default()).unwrap_or(0))
}

impl Run {
    /// What could not be told is no reason to judge otherwise.
    pub fn tell_last_figures(&mut self, observe: &mut dyn FnMut(GateEvent<'_>)) {
        for problem in self.telemetry.take().map(Telemetry::finish).unwrap_or_default() {
            observe(GateEvent::TelemetryDoubt(&self.request.secrets.scrub_brief(&problem)));
        }
    }
}
