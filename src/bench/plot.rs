//! Plots as SVG: how the times of many trials are distributed.

use std::fmt::Write;

/// Size of the picture, and of its margins: left, right, top, bottom.
const SIZE: (f64, f64) = (720.0, 400.0);
const MARGIN: (f64, f64, f64, f64) = (64.0, 24.0, 48.0, 56.0);
/// Steps of a curve.
const STEPS: usize = 1000;
const COLORS: [&str; 4] = ["#1f77b4", "#d62728", "#2ca02c", "#9467bd"];

/// The share of trials, from 0 to 100 %, that took no longer than a time: one curve a series of a name and its values.
/// The axis of times reaches from 0 to the longest that 99.9 % of any series stay below.
pub fn cumulative(title: &str, unit: &str, series: &[(&str, &[f64])]) -> String {
    let sorted: Vec<(&str, Vec<f64>)> = series
        .iter()
        .map(|(name, values)| {
            let mut values = values.to_vec();
            values.sort_by(f64::total_cmp);
            (*name, values)
        })
        .collect();
    let most =
        sorted.iter().filter_map(|(_, values)| values.get((values.len() * 999).div_ceil(1000).max(1) - 1));
    let (step, end) = axis(most.copied().fold(0.0, f64::max));
    let (left, right, top, bottom) = MARGIN;
    let x = |value: f64| left + (value / end).min(1.0) * (SIZE.0 - left - right);
    let y = |share: f64| top + (1.0 - share) * (SIZE.1 - top - bottom);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{left}\" y=\"24\" font-size=\"15\">{}</text>\n",
        SIZE.0,
        SIZE.1,
        escaped(title)
    );
    for percent in [0, 25, 50, 75, 100] {
        let at = y(f64::from(percent) / 100.0);
        line(&mut svg, (left, at), (x(end), at));
        text(&mut svg, (left - 8.0, at + 4.0), "end", &format!("{percent} %"));
    }
    for mark in (0..).map(|number| f64::from(number) * step).take_while(|value| *value <= end * 1.001) {
        line(&mut svg, (x(mark), y(0.0)), (x(mark), y(1.0)));
        text(&mut svg, (x(mark), y(0.0) + 18.0), "middle", &format!("{mark}"));
    }
    text(&mut svg, (x(end), y(0.0) + 38.0), "end", &escaped(unit));
    for ((number, (name, values)), color) in sorted.iter().enumerate().zip(COLORS.iter().cycle()) {
        let mut path = format!("M {:.1} {:.1}", x(0.0), y(0.0));
        // More steps than there are points across the picture show nothing more.
        let apart = values.len().div_ceil(STEPS).max(1);
        let steps = (1..).zip(values).filter(|(rank, _)| rank % apart == 0 || *rank == values.len());
        for (rank, value) in steps.filter(|(_, value)| **value <= end) {
            let _ = write!(path, " H {:.1} V {:.1}", x(*value), y(rank as f64 / values.len() as f64));
        }
        let _ = writeln!(svg, "<path d=\"{path}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"/>");
        let at = (left + 12.0, top + 16.0 + 16.0 * number as f64);
        let _ =
            writeln!(svg, "<text x=\"{}\" y=\"{}\" fill=\"{color}\">{}</text>", at.0, at.1, escaped(name));
    }
    svg + "</svg>\n"
}

/// The distance between marks, and the end of an axis that shows `most`: about eight marks at round numbers.
fn axis(most: f64) -> (f64, f64) {
    let rough = (most / 8.0).max(1e-3);
    let decade = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].iter().map(|factor| factor * decade).find(|step| *step >= rough);
    let step = step.unwrap_or(10.0 * decade);
    (step, (most / step).ceil().max(1.0) * step)
}

fn line(svg: &mut String, from: (f64, f64), to: (f64, f64)) {
    let _ = writeln!(
        svg,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"#ddd\"/>",
        from.0, from.1, to.0, to.1
    );
}

fn text(svg: &mut String, at: (f64, f64), anchor: &str, text: &str) {
    let _ = writeln!(svg, "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{text}</text>", at.0, at.1);
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers() {
        for (most, expected) in [(150.0, (20.0, 160.0)), (0.0, (0.001, 0.001)), (8.0, (1.0, 8.0))] {
            let (step, end) = axis(most);
            assert!((step - expected.0).abs() < 1e-9 && (end - expected.1).abs() < 1e-9, "{step} {end}");
        }
    }

    #[test]
    fn a_curve_rises_from_nothing_to_all() {
        let svg = cumulative("a < b", "µs", &[("one", &[4.0, 2.0]), ("none", &[])]);
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>") && svg.contains("a &lt; b"));
        // Half at 2, all at 4, on an axis to 4 that is 632 wide and 296 high.
        assert!(svg.contains("M 64.0 344.0 H 380.0 V 196.0 H 696.0 V 48.0"), "{svg}");
        assert_eq!(svg.matches("<path").count(), 2);
    }

    #[test]
    fn a_curve_of_very_many_is_thinned_out() {
        let values: Vec<f64> = (1..=1_000_000).map(f64::from).collect();
        let svg = cumulative("many", "", &[("all", &values)]);
        assert!(svg.len() < 40_000, "{}", svg.len());
        let (_, path) = svg.split_once(" d=\"").unwrap();
        assert!(path.split_once('"').unwrap().0.ends_with("V 48.0"));
    }
}
