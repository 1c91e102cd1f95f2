//! One plot: curves over a logarithmic axis.

use anyhow::anyhow;
use plotters::{
    coord::{
        Shift,
        ranged1d::{Ranged, ValueFormatter},
    },
    prelude::{
        BLACK, BindKeyPoints as _, Cartesian2d, ChartBuilder, ChartContext, Circle, DrawingArea, DrawingAreaErrorKind,
        DrawingBackend, IntoLogRange as _, LineSeries, PathElement, RGBColor, SVGBackend, SeriesLabelPosition, WHITE,
    },
    style::Color as _,
};

use crate::spread::Spread;

/// A plot.
pub(super) struct Panel {
    pub(super) title: &'static str,
    pub(super) x: &'static str,
    pub(super) y: &'static str,
    pub(super) scale: Scale,
    pub(super) curves: Vec<Curve>,
}

/// How the upright axis is divided.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scale {
    /// From 0, in equal steps.
    Share,
    /// By powers of ten.
    Logarithm,
}

/// Colours that those can tell apart, too, who can't tell red from green (Okabe and
/// Ito, 2008).
#[derive(Debug, Clone, Copy)]
pub(super) enum Color {
    Blue,
    Orange,
    Green,
    Purple,
}

/// A named line through points.
pub(super) struct Curve {
    name: &'static str,
    color: RGBColor,
    points: Vec<(f64, f64)>,
}

impl Curve {
    /// Without points.
    pub(super) fn new(name: &'static str, color: Color) -> Self {
        let color = match color {
            Color::Blue => RGBColor(0, 114, 178),
            Color::Orange => RGBColor(213, 94, 0),
            Color::Green => RGBColor(0, 158, 115),
            Color::Purple => RGBColor(204, 121, 167),
        };
        Self { name, color, points: Vec::new() }
    }

    /// Adds the median of a figure, in the order of `x`.
    pub(super) fn add(&mut self, x: f64, figure: Option<Spread>) {
        let place = self.points.partition_point(|(known, _)| *known < x);
        if let Some(figure) = figure {
            self.points.insert(place, (x, figure.median));
        }
    }
}

impl Panel {
    /// Whether there is nothing to draw.
    pub(super) fn is_empty(&self) -> bool {
        self.points().next().is_none()
    }

    /// Draws itself.
    pub(super) fn draw(&self, area: &DrawingArea<SVGBackend<'_>, Shift>) -> anyhow::Result<()> {
        let (left, right) = self.range(|(x, _)| x);
        let (low, high) = self.range(|(_, y)| y);
        let mut chart = ChartBuilder::on(area);
        chart.caption(self.title, ("sans-serif", 17)).margin(12).x_label_area_size(40).y_label_area_size(56);
        let across = (left..right * 1.05).log_scale().with_key_points(self.ticks(left, right));
        match self.scale {
            Scale::Share => self.fill(chart.build_cartesian_2d(across, 0.0..high.max(1.0) * 1.05)?),
            Scale::Logarithm => {
                let upright = (low * 0.8..high * 1.5).log_scale().with_key_points(round(low * 0.8, high * 1.5));
                self.fill(chart.build_cartesian_2d(across, upright)?)
            }
        }
    }

    fn fill<'a, B, X, Y>(&self, mut chart: ChartContext<'a, B, Cartesian2d<X, Y>>) -> anyhow::Result<()>
    where
        B: DrawingBackend + 'a,
        X: Ranged<ValueType = f64> + ValueFormatter<f64>,
        Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        let failed = |error: DrawingAreaErrorKind<B::ErrorType>| anyhow!("{}: {error}", self.title);
        let mut mesh = chart.configure_mesh();
        mesh.x_desc(self.x).y_desc(self.y).x_label_formatter(&short).y_label_formatter(&short);
        mesh.light_line_style(WHITE).draw().map_err(failed)?;
        for &Curve { name, color, ref points } in &self.curves {
            let series = LineSeries::new(points.iter().copied(), color.stroke_width(2));
            let key = move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2));
            chart.draw_series(series).map_err(failed)?.label(name).legend(key);
            chart.draw_series(points.iter().map(|&point| Circle::new(point, 3, color.filled()))).map_err(failed)?;
        }
        let mut names = chart.configure_series_labels();
        names.position(SeriesLabelPosition::UpperLeft).background_style(WHITE.mix(0.8)).border_style(BLACK.mix(0.2));
        names.draw().map_err(failed)
    }

    /// Where the lower axis is named: at the points of a few, at round numbers of many.
    fn ticks(&self, left: f64, right: f64) -> Vec<f64> {
        match self.scale {
            Scale::Share => self.points().map(|(x, _)| x).collect(),
            Scale::Logarithm => round(left, right),
        }
    }

    fn points(&self) -> impl Iterator<Item = (f64, f64)> {
        self.curves.iter().flat_map(|curve| curve.points.iter().copied())
    }

    fn range(&self, side: fn((f64, f64)) -> f64) -> (f64, f64) {
        self.points()
            .map(side)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), value| (least.min(value), most.max(value)))
    }
}

/// A label of an axis without needless digits.
fn short(value: &f64) -> String {
    if *value > 0.0 && *value < 1.0 { format!("{value:.2}") } else { format!("{value}") }
}

/// 1, 2 and 5 times the powers of ten between two numbers.
fn round(least: f64, most: f64) -> Vec<f64> {
    let powers = (-3..7).map(|power| 10_f64.powi(power));
    let all = powers.flat_map(|power| [1.0, 2.0, 5.0].map(|times| times * power));
    all.filter(|tick| (least..=most).contains(tick)).collect()
}
