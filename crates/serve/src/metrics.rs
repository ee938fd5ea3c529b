//! Figures for Prometheus.

use std::fmt;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// The type of the text.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Bounds of histograms, in seconds: from an answer that is kept to a large program.
const SECONDS: [f64; 10] = [0.005, 0.02, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 120.0, 600.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    /// The pattern, so that no client can make more of them.
    route: String,
    method: &'static str,
    status: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ran {
    command: &'static str,
}

type Seconds<Of> = Family<Of, Histogram, fn() -> Histogram>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Analysis {
    command: &'static str,
    outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Lookup {
    result: &'static str,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Outcome {
    /// With an answer.
    Answered,
    /// With a reason why there is none.
    Refused,
    /// After the limit of time.
    Late,
    /// By a signal or a panic.
    Crashed,
    /// By the end of the server.
    Ended,
    /// By whoever asked.
    HungUp,
    /// It could not be run or read.
    Failed,
}

pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Request, Counter>,
    request_seconds: Seconds<Route>,
    analyses: Family<Analysis, Counter>,
    analysis_seconds: Seconds<Ran>,
    lookups: Family<Lookup, Counter>,
    running: Gauge,
    waiting: Gauge,
    programs: Gauge,
    program_bytes: Gauge,
}

/// What is measured when it is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct State {
    pub(crate) running: usize,
    pub(crate) waiting: usize,
    pub(crate) programs: usize,
    pub(crate) program_bytes: u64,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Metrics").finish_non_exhaustive()
    }
}

fn histogram() -> Histogram {
    Histogram::new(SECONDS)
}

impl Metrics {
    pub(crate) fn new() -> Metrics {
        let mut registry = Registry::with_prefix("binscribe");
        let requests = Family::<Request, Counter>::default();
        let request_seconds = Seconds::new_with_constructor(histogram);
        let analyses = Family::<Analysis, Counter>::default();
        let analysis_seconds = Seconds::new_with_constructor(histogram);
        let lookups = Family::<Lookup, Counter>::default();
        let [running, waiting, programs, program_bytes]: [Gauge; 4] = Default::default();
        registry.register("requests", "Requests answered", requests.clone());
        registry.register(
            "request_seconds",
            "How long answers took",
            request_seconds.clone(),
        );
        registry.register("analyses", "Processes that ran", analyses.clone());
        registry.register(
            "analysis_seconds",
            "How long processes ran",
            analysis_seconds.clone(),
        );
        let help = "Questions, by whether the answer was kept from before";
        registry.register("lookups", help, lookups.clone());
        registry.register("running", "Processes that run", running.clone());
        let help = "Questions that wait for a process to end";
        registry.register("waiting", help, waiting.clone());
        registry.register("programs", "Programs that are kept", programs.clone());
        registry.register(
            "program_bytes",
            "Bytes of programs that are kept",
            program_bytes.clone(),
        );
        Metrics {
            registry,
            requests,
            request_seconds,
            analyses,
            analysis_seconds,
            lookups,
            running,
            waiting,
            programs,
            program_bytes,
        }
    }

    pub(crate) fn requested(&self, route: &str, method: &'static str, status: u16, seconds: f64) {
        let route = route.to_owned();
        let of = Route {
            route: route.clone(),
        };
        self.request_seconds.get_or_create(&of).observe(seconds);
        let request = Request {
            route,
            method,
            status: status.to_string(),
        };
        self.requests.get_or_create(&request).inc();
    }

    pub(crate) fn analysed(&self, command: &'static str, outcome: Outcome, seconds: f64) {
        self.analysis_seconds
            .get_or_create(&Ran { command })
            .observe(seconds);
        let analysis = Analysis { command, outcome };
        self.analyses.get_or_create(&analysis).inc();
    }

    pub(crate) fn looked_up(&self, known: bool) {
        let result = if known { "hit" } else { "miss" };
        self.lookups.get_or_create(&Lookup { result }).inc();
    }

    /// All figures as text, with `state` for those that are states.
    pub(crate) fn text(&self, state: State) -> Result<String, fmt::Error> {
        let set = |gauge: &Gauge, value: u64| {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        set(&self.running, state.running as u64);
        set(&self.waiting, state.waiting as u64);
        set(&self.programs, state.programs as u64);
        set(&self.program_bytes, state.program_bytes);
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
