//! Logs as JSON lines, and traces to an OTLP collector when one is configured.

use std::io::IsTerminal;

use opentelemetry::{Context, global, propagation::TextMapPropagator, trace::TracerProvider as _};
use opentelemetry_sdk::{Resource, propagation::TraceContextPropagator, trace::SdkTracerProvider};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{
    EnvFilter, Layer, Registry, layer::SubscriberExt, util::SubscriberInitExt,
};

/// Set to an OTLP/HTTP address, this turns the exporter on.
pub const OTLP_VARIABLE: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
/// The name of the service in traces.
const SERVICE: &str = "espalier-cloud";
/// What is logged when `RUST_LOG` says nothing.
const DEFAULT_FILTER: &str = "info,sqlx=warn,rmqtt=warn,rmqtt_net=warn,actix_server=warn";

/// Keeps the exporter alive; flushes what is left when dropped.
pub struct Telemetry {
    provider: SdkTracerProvider,
}

impl Telemetry {
    /// Installs logging and tracing for the whole process.
    ///
    /// # Errors
    /// When the collector's address is unusable.
    pub fn install() -> anyhow::Result<Self> {
        let provider = provider()?;
        global::set_text_map_propagator(TraceContextPropagator::new());
        // Spans always get ids: the trace context in desired states must hold without a collector.
        let traces = tracing_opentelemetry::layer().with_tracer(provider.tracer(SERVICE));
        let filter =
            EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
        tracing_subscriber::registry()
            .with(lines())
            .with(filter)
            .with(traces)
            .try_init()?;
        Ok(Self { provider })
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Err(error) = self.provider.shutdown() {
            tracing::debug!(%error, "the trace exporter did not shut down cleanly");
        }
    }
}

fn provider() -> anyhow::Result<SdkTracerProvider> {
    let resource = Resource::builder().with_service_name(SERVICE).build();
    let builder = SdkTracerProvider::builder().with_resource(resource);
    if std::env::var_os(OTLP_VARIABLE).is_none() {
        return Ok(builder.build());
    }
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .build()?;
    Ok(builder.with_batch_exporter(exporter).build())
}

/// JSON for machines, plain lines for a person at a terminal; always on standard error.
fn lines() -> Box<dyn Layer<Registry> + Send + Sync> {
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        lines.boxed()
    } else {
        lines.json().with_span_list(false).boxed()
    }
}

/// The current span as a W3C `traceparent`, to travel in a desired state.
#[must_use]
pub fn current_traceparent() -> Option<String> {
    let mut carrier = std::collections::HashMap::new();
    TraceContextPropagator::new().inject_context(&tracing::Span::current().context(), &mut carrier);
    carrier.remove("traceparent")
}

/// Makes `span` a child of the trace that a `traceparent` names; nonsense in it changes nothing.
pub fn continue_trace(span: &tracing::Span, traceparent: &str) {
    let carrier =
        std::collections::HashMap::from([("traceparent".to_owned(), traceparent.to_owned())]);
    let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier);
    if let Err(error) = span.set_parent(parent) {
        tracing::debug!(%error, "a span was not joined to its trace");
    }
}
