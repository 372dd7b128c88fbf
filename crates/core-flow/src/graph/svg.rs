//! A flow as an SVG picture of its own: no script, no font, no file beside it.

use std::fmt::Write as _;

use super::escaped;
use super::layers::{Layers, Road, Spot};
use super::layout::{END, HEIGHT, Layout};
use crate::definition::{Definition, Settings, Widget};
use crate::lab::{Coverage, WidgetCoverage};

/// Narrowest widget.
const NARROWEST: i64 = 120;
/// Widest widget; longer names are cut.
const WIDEST: i64 = 300;
/// Width of a character in bold, about.
const LETTER: i64 = 8;
/// Longest name shown, in characters.
const LETTERS: usize = 34;

const STYLE: &str = "\
text{font:13px system-ui,sans-serif;fill:#1f2933}\
.kind{font-size:11px;fill:#52606d}.exit{font-size:11px;fill:#3e4c59}\
.box{fill:#fff;stroke:#52606d;stroke-width:1.2}\
.start{fill:#e3f2ec;stroke:#2f8f6b}.condition,.split,.business_hours{fill:#fdf3dc;stroke:#b7791f}\
.route_to{fill:#e6effa;stroke:#2b6cb0}.collect_input{fill:#f3ecfa;stroke:#6b46c1}.wait{fill:#eef2f6}\
.road{fill:none;stroke:#7b8794;stroke-width:1.3}.end{fill:#52606d}\
.taken{stroke:#2f8f6b}.missed{stroke:#c53030;stroke-dasharray:5 4}\
.exit.taken{fill:#2f8f6b;stroke:none}.exit.missed{fill:#c53030;stroke:none}.box.missed{fill:#fdecec}\
.halo{stroke:#fff;stroke-width:4;stroke-linejoin:round}";

/// The flow as an SVG. With `coverage`, exits taken are green, and exits and widgets that were
/// missed red and dashed.
pub fn svg(definition: &Definition, coverage: Option<&Coverage>) -> String {
    let layout = Layout::of(Layers::of(definition), |at| width(&definition.widgets[at]));
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}\" height=\"{h}\" \
         viewBox=\"0 0 {w} {h}\" role=\"img\">\n<title>{}</title>\n<style>{STYLE}</style>\n\
         <defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" \
         markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" fill=\"#7b8794\"/></marker>\
         </defs>\n",
        escaped(&definition.name),
        w = layout.width,
        h = layout.height,
    );
    let picture = Picture {
        definition,
        layout: &layout,
        widgets: coverage.map(|coverage| coverage.of(definition)),
    };
    for road in &layout.layers.roads {
        picture.road(road, &mut text);
    }
    for (spot, what) in layout.layers.spots.iter().enumerate() {
        match what {
            Spot::Widget(at) => picture.widget(*at, spot, &mut text),
            Spot::End => picture.end(spot, &mut text),
            Spot::Bend => {}
        }
    }
    for road in &layout.layers.roads {
        picture.name(road, &mut text);
    }
    text.push_str("</svg>\n");
    text
}

struct Picture<'a> {
    definition: &'a Definition,
    layout: &'a Layout,
    widgets: Option<Vec<WidgetCoverage>>,
}

impl Picture<'_> {
    fn widget(&self, at: usize, spot: usize, text: &mut String) {
        let widget = &self.definition.widgets[at];
        let (wide, kind) = (width(widget), widget.settings.kind());
        let (left, top) = (self.layout.x[spot] - wide / 2, self.layout.top(spot));
        let round = match widget.settings {
            Settings::Start | Settings::End | Settings::RouteTo(_) => HEIGHT / 2,
            _ => 6,
        };
        let seen = self.widgets.as_ref().and_then(|widgets| widgets.get(at));
        let unseen = seen.is_some_and(|widget| !widget.is_visited());
        let missed = if unseen { " missed" } else { "" };
        // Writing into a text does not fail.
        let _ = writeln!(
            text,
            "<g><title>{}</title><rect class=\"box {kind}{missed}\" x=\"{left}\" y=\"{top}\" \
             width=\"{wide}\" height=\"{HEIGHT}\" rx=\"{round}\"/>\
             <text x=\"{x}\" y=\"{}\" text-anchor=\"middle\" font-weight=\"600\">{}</text>\
             <text class=\"kind\" x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{kind}</text></g>",
            escaped(&widget.name),
            top + 22,
            escaped(&short(&widget.name)),
            top + 40,
            x = self.layout.x[spot],
        );
    }

    fn end(&self, spot: usize, text: &mut String) {
        let (x, y) = (self.layout.x[spot], self.layout.top(spot) + END);
        let _ = writeln!(
            text,
            "<circle class=\"end\" cx=\"{x}\" cy=\"{y}\" r=\"{END}\"><title>End</title></circle>"
        );
    }

    fn exit(&self, road: &Road) -> &str {
        &self.definition.widgets[road.widget].exits.0[road.exit].0
    }

    /// Exits that do not count have no class of their own.
    fn class(&self, road: &Road) -> &'static str {
        let widgets = self.widgets.as_ref();
        let widget = widgets.and_then(|widgets| widgets.get(road.widget));
        let name = self.exit(road);
        let exit = widget.and_then(|it| it.exits.iter().find(|exit| exit.name == name));
        match exit {
            None => "",
            Some(exit) if exit.taken == 0 => " missed",
            Some(_) => " taken",
        }
    }

    /// Where a road leaves a widget: exits stand beside each other at its lower edge.
    fn door(&self, road: &Road) -> i64 {
        let widget = &self.definition.widgets[road.widget];
        let (count, wide) = (widget.exits.0.len() as i64, width(widget));
        let from = self.layout.x[road.widget] - wide / 2;
        from + wide * (2 * road.exit as i64 + 1) / (2 * count.max(1))
    }

    fn road(&self, road: &Road, text: &mut String) {
        let points = self.points(road);
        let Some(((x, y), rest)) = points.split_first() else {
            return;
        };
        let mut path = format!("M{x} {y}");
        let mut last = (*x, *y);
        for (x, y) in rest {
            let middle = i64::midpoint(last.1, *y);
            let _ = write!(path, "C{} {middle} {x} {middle} {x} {y}", last.0);
            last = (*x, *y);
        }
        let class = self.class(road);
        let _ = writeln!(
            text,
            "<path class=\"road{class}\" d=\"{path}\" marker-end=\"url(#tip)\"/>"
        );
    }

    /// Where a road that leads back leaves: at the right side.
    fn side(&self, road: &Road) -> (i64, i64) {
        let wide = width(&self.definition.widgets[road.widget]);
        let x = self.layout.x[road.widget] + wide / 2;
        (x, self.layout.top(road.widget) + HEIGHT / 2)
    }

    /// The points a road passes, from the widget on.
    fn points(&self, road: &Road) -> Vec<(i64, i64)> {
        let layout = self.layout;
        let inner = road.spots.len().saturating_sub(2);
        let inner = road.spots.iter().skip(1).take(inner);
        let bends = inner.map(|spot| (layout.x[*spot], layout.top(*spot) + HEIGHT / 2));
        let mut bends: Vec<(i64, i64)> = bends.collect();
        if !road.back {
            let to = road.spots.last().copied().unwrap_or(road.widget);
            let mut points = vec![(self.door(road), layout.top(road.widget) + HEIGHT)];
            points.append(&mut bends);
            points.push((layout.x[to], layout.top(to) - 2));
            return points;
        }
        // Back up beside its own widget, and in again at the side of the other.
        let (x, y) = self.side(road);
        let mut points = vec![(x, y), (x + 14, y)];
        bends.reverse();
        points.append(&mut bends);
        let to = road.spots.first().copied().unwrap_or(road.widget);
        let edge = width(&self.definition.widgets[to]) / 2;
        points.push((layout.x[to] + edge + 2, layout.top(to) + HEIGHT / 2));
        points
    }

    /// The name of an exit, where its road leaves. Neighbours stand at different heights.
    fn name(&self, road: &Road, text: &mut String) {
        let step = (road.exit as i64 % 3) * 13;
        let (x, y, anchor) = if road.back {
            let (x, y) = self.side(road);
            (x + 6, y - 8 - step, "start")
        } else {
            let below = self.layout.top(road.widget) + HEIGHT;
            (self.door(road), below + 15 + step, "middle")
        };
        let name = escaped(&short(self.exit(road)));
        for class in ["exit halo".to_owned(), format!("exit{}", self.class(road))] {
            // Writing into a text does not fail.
            let _ = write!(
                text,
                "<text class=\"{class}\" x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\">{name}</text>"
            );
        }
        text.push('\n');
    }
}

fn width(widget: &Widget) -> i64 {
    let letters = widget.name.chars().count().min(LETTERS) as i64;
    let doors = widget.exits.0.len() as i64 * 46;
    (letters * LETTER + 28)
        .max(doors)
        .clamp(NARROWEST, WIDEST.max(doors))
}

fn short(name: &str) -> String {
    if name.chars().count() <= LETTERS {
        return name.to_owned();
    }
    let mut cut: String = name.chars().take(LETTERS - 1).collect();
    cut.push('…');
    cut
}
