//! What counts, made of the table's rows.

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Gauge, Histogram, Meter, UpDownCounter},
};

use super::{Kind, Metric, Unit};

impl Unit {
    /// As OpenTelemetry has it: UCUM, things in braces.
    fn ucum(self) -> String {
        match self {
            Self::Seconds => "s".into(),
            Self::Bytes => "By".into(),
            Self::Of(things) => format!("{{{things}}}"),
            Self::None => "1".into(),
        }
    }
}

impl Metric {
    /// The labels with their values, in the table's order.
    pub(in crate::telemetry) fn labelled<const N: usize>(&self, values: [&str; N]) -> Vec<KeyValue> {
        debug_assert_eq!(self.labels.len(), N, "{}", self.name);
        self.labels.iter().zip(values).map(|(label, value)| KeyValue::new(*label, value.to_owned())).collect()
    }

    pub(in crate::telemetry) fn counted(&self, meter: &Meter) -> Counter<u64> {
        meter.u64_counter(self.name).with_description(self.help).with_unit(self.unit.ucum()).build()
    }

    /// A counter of what is no whole number.
    pub(in crate::telemetry) fn added_up(&self, meter: &Meter) -> Counter<f64> {
        meter.f64_counter(self.name).with_description(self.help).with_unit(self.unit.ucum()).build()
    }

    /// A gauge that is told each change.
    pub(in crate::telemetry) fn tracked(&self, meter: &Meter) -> UpDownCounter<i64> {
        meter.i64_up_down_counter(self.name).with_description(self.help).with_unit(self.unit.ucum()).build()
    }

    /// A gauge that is told its value.
    pub(in crate::telemetry) fn told(&self, meter: &Meter) -> Gauge<u64> {
        meter.u64_gauge(self.name).with_description(self.help).with_unit(self.unit.ucum()).build()
    }

    pub(in crate::telemetry) fn seconds(&self, meter: &Meter) -> Histogram<f64> {
        let made = meter.f64_histogram(self.name).with_description(self.help).with_unit(self.unit.ucum());
        made.with_boundaries(self.bounds().into()).build()
    }

    pub(in crate::telemetry) fn rows(&self, meter: &Meter) -> Histogram<u64> {
        let made = meter.u64_histogram(self.name).with_description(self.help).with_unit(self.unit.ucum());
        made.with_boundaries(self.bounds().into()).build()
    }

    /// A gauge, or a counter, whose values `read` gives at each scrape and push.
    pub(in crate::telemetry) fn observed<const N: usize>(
        &self,
        meter: &Meter,
        read: impl Fn() -> Vec<([String; N], f64)> + Send + Sync + 'static,
    ) {
        let metric = *self;
        let each = move || read().into_iter().map(move |(labels, value)| (metric.labels_of(&labels), value));
        if self.kind == Kind::Counter {
            let made = meter.f64_observable_counter(self.name).with_description(self.help).with_unit(self.unit.ucum());
            let _kept_by_the_meter =
                made.with_callback(move |told| each().for_each(|(labels, value)| told.observe(value, &labels))).build();
        } else {
            let made = meter.f64_observable_gauge(self.name).with_description(self.help).with_unit(self.unit.ucum());
            let _kept_by_the_meter =
                made.with_callback(move |told| each().for_each(|(labels, value)| told.observe(value, &labels))).build();
        }
    }

    /// The same without labels; `None` where there is nothing to tell.
    pub(in crate::telemetry) fn observed_alone(
        &self,
        meter: &Meter,
        read: impl Fn() -> Option<f64> + Send + Sync + 'static,
    ) {
        self.observed(meter, move || read().map(|value| ([], value)).into_iter().collect());
    }

    fn labels_of<const N: usize>(&self, values: &[String; N]) -> Vec<KeyValue> {
        self.labelled(values.each_ref().map(String::as_str))
    }
}
