//! Metrics in the Prometheus text format.

mod known;

use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;

/// Upper bounds of the histograms of durations, in seconds: names that end in `_seconds`.
const SECONDS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// How often recorded values are folded into their histograms; until then each takes memory.
const UPKEEP: Duration = Duration::from_secs(5);

/// Why metrics can't be recorded.
#[derive(Debug, thiserror::Error)]
#[error("cannot install the metrics recorder; it must be installed once, before anything is measured")]
pub struct MetricsError(#[from] BuildError);

/// The metrics of this process.
#[derive(Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
}

impl Metrics {
    /// Makes the recorder the one that the `metrics` macros write to, and tells it of all that is measured. Works once a process.
    pub fn install() -> Result<Self, MetricsError> {
        let handle = builder()?.install_recorder()?;
        known::describe();
        Ok(Self { handle })
    }

    /// The text for a scrape.
    pub fn render(&self) -> String {
        self.handle.render()
    }

    /// Keeps the memory of histograms bounded when nobody scrapes; to be run beside the server until `shutdown`.
    pub async fn upkeep(self, shutdown: CancellationToken) {
        let mut rounds = tokio::time::interval(UPKEEP);
        while shutdown.run_until_cancelled(rounds.tick()).await.is_some() {
            self.handle.run_upkeep();
        }
    }

    /// Metrics that nothing is recorded in.
    #[cfg(test)]
    pub(crate) fn detached() -> Self {
        Self { handle: builder().unwrap().build_recorder().handle() }
    }
}

fn builder() -> Result<PrometheusBuilder, BuildError> {
    PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_become_histograms() {
        let recorder = builder().unwrap().build_recorder();
        let metrics = Metrics { handle: recorder.handle() };
        ::metrics::with_local_recorder(&recorder, || {
            ::metrics::counter!("things_total").increment(2);
            ::metrics::histogram!("delay_seconds").record(0.003);
        });
        let text = metrics.render();
        assert!(text.contains("things_total 2"), "{text}");
        assert!(text.contains("delay_seconds_bucket{le=\"0.005\"} 1"), "{text}");
        assert!(text.contains("delay_seconds_bucket{le=\"0.0025\"} 0"), "{text}");
    }
}
