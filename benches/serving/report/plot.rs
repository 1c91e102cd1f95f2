//! The plots, as SVG: throughput as a share of the two ceilings, and latency by rate.

mod panel;

use std::path::Path;

use anyhow::Context as _;
use plotters::prelude::{IntoDrawingArea as _, SVGBackend, WHITE};

use self::panel::{Color, Curve, Panel, Scale};
use crate::{
    load::Measured,
    results::{Figures, Kind, Rate, Results},
    settings::Model::{self, Reference, Shipped},
    spread::Spread,
};

/// Pixels of one panel.
const WIDTH: u32 = 520;
const HEIGHT: u32 = 360;

/// Draws all plots into `out`; what was not measured is left out.
pub(super) fn all(results: &Results, out: &Path) -> anyhow::Result<()> {
    let shares = vec![by_echo(results), by_raw(results)];
    let latencies = [Shipped, Reference].map(|model| latency(results, model));
    draw(&out.join("throughput.svg"), shares)?;
    draw(&out.join("latency.svg"), latencies.into())
}

/// Panels side by side.
fn draw(file: &Path, panels: Vec<Panel>) -> anyhow::Result<()> {
    let panels: Vec<Panel> = panels.into_iter().filter(|panel| !panel.is_empty()).collect();
    let count = u32::try_from(panels.len())?;
    if count == 0 {
        return Ok(());
    }
    let root = SVGBackend::new(file, (WIDTH * count, HEIGHT)).into_drawing_area();
    root.fill(&WHITE)?;
    for (area, panel) in root.split_evenly((1, panels.len())).iter().zip(&panels) {
        panel.draw(area)?;
    }
    root.present().with_context(|| file.display().to_string())
}

fn by_echo(results: &Results) -> Panel {
    let figure = |_: Model, figures: &Figures| figures.by_echo(Measured::per_second);
    Panel {
        title: "One row a request, by the echo server",
        x: "callers",
        y: "share of the echo's requests/s",
        scale: Scale::Share,
        curves: closed(results, 1, figure),
    }
}

fn by_raw(results: &Results) -> Panel {
    let figure = |model: Model, figures: &Figures| figures.by_raw(&results.raw(model));
    Panel {
        title: "64 rows a request, by the bare forward pass",
        x: "callers",
        y: "share of the forward pass's rows/s",
        scale: Scale::Share,
        curves: closed(results, 64, figure),
    }
}

/// A curve over the callers of the closed loop for each model.
fn closed(results: &Results, rows: usize, figure: impl Fn(Model, &Figures) -> Option<Spread>) -> Vec<Curve> {
    let curve = |(model, color): (Model, Color)| {
        let mut curve = Curve::new(model.name(), color);
        for (point, figures) in results.points.iter().filter(|(point, _)| point.model == model) {
            match point.kind {
                Kind::Closed { callers, rows: found } if found == rows => {
                    curve.add(callers as f64, figure(model, figures));
                }
                _ => {}
            }
        }
        curve
    };
    [(Shipped, Color::Blue), (Reference, Color::Orange)].map(curve).into()
}

/// p50 and p99 over the rate, of Souk and of the echo server.
fn latency(results: &Results, model: Model) -> Panel {
    let mut curves = [
        Curve::new("Souk p99", Color::Orange),
        Curve::new("Souk p50", Color::Blue),
        Curve::new("echo p99", Color::Purple),
        Curve::new("echo p50", Color::Green),
    ];
    for (point, figures) in results.points.iter().filter(|(point, _)| point.model == model) {
        let Kind::Open { rate } = point.kind else { continue };
        let Some(asked) = asked(rate, figures) else { continue };
        let [souk_p99, souk_p50, echo_p99, echo_p50] = &mut curves;
        souk_p99.add(asked, figures.souk(|measured| measured.latency.p99 / 1000.0));
        souk_p50.add(asked, figures.souk(|measured| measured.latency.p50 / 1000.0));
        echo_p99.add(asked, figures.echo(|measured| measured.latency.p99 / 1000.0));
        echo_p50.add(asked, figures.echo(|measured| measured.latency.p50 / 1000.0));
    }
    Panel {
        title: match model {
            Shipped => "Shipped model, one row, by the clock",
            Reference => "Reference model, one row, by the clock",
            // Nobody asks them by the clock.
            Model::TensorsSmall | Model::TensorsLarge => "",
        },
        x: "requests/s of the schedule",
        y: "ms",
        scale: Scale::Logarithm,
        curves: curves.into(),
    }
}

/// Requests a second of the schedule, whether or not they were sent.
fn asked(rate: Rate, figures: &Figures) -> Option<f64> {
    match rate {
        Rate::Fixed(rate) => Some(rate),
        Rate::Capacity(_) => figures.souk(Measured::asked_per_second).map(|asked| asked.median),
    }
}
