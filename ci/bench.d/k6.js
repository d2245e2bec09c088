// The same load as the other tools', for k6: RATE is 0 for the closed model.
import http from 'k6/http';

const rate = Number(__ENV.RATE);
const duration = `${__ENV.DURATION_S}s`;
const connections = Number(__ENV.CONNECTIONS);

export const options = {
  discardResponseBodies: true,
  scenarios: {
    load: rate
      ? { executor: 'constant-arrival-rate', rate, timeUnit: '1s', duration, preAllocatedVUs: connections }
      : { executor: 'constant-vus', vus: connections, duration },
  },
};

export default function () {
  http.get(__ENV.URL);
}

export function handleSummary(data) {
  const failed = data.metrics.http_req_failed;
  return {
    stdout: JSON.stringify({
      requests: data.metrics.http_reqs.values.count,
      failed: failed ? failed.values.passes : 0,
      duration_s: data.state.testRunDurationMs / 1000,
    }),
  };
}
