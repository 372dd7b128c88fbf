//! From a flow to layers: what stands in which, and in what order.

use std::collections::BTreeMap;

use crate::definition::Definition;

/// What is drawn at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spot {
    /// The widget at this position of the definition.
    Widget(usize),
    /// The end of the flow.
    End,
    /// A road passes by on its way to a later layer.
    Bend,
}

/// A road from a widget to where one of its exits leads.
#[derive(Clone, Debug)]
pub(super) struct Road {
    /// Position of the widget.
    pub(super) widget: usize,
    /// Position of the exit among the widget's.
    pub(super) exit: usize,
    /// The spots it passes, from the widget's to its end. Downwards, unless `back`.
    pub(super) spots: Vec<usize>,
    /// It leads to an earlier layer: the spots stand in the order of layers, from its end to the
    /// widget.
    pub(super) back: bool,
}

/// The flow in layers.
#[derive(Debug, Default)]
pub(super) struct Layers {
    pub(super) spots: Vec<Spot>,
    /// The layer of each spot.
    pub(super) layer: Vec<usize>,
    /// The spots of each layer, from left to right.
    pub(super) rows: Vec<Vec<usize>>,
    pub(super) roads: Vec<Road>,
}

/// Sweeps over the layers to make roads cross less.
const SWEEPS: usize = 8;
/// Longest road, in layers, that is led between the spots of each; longer ones are drawn across, so
/// that a flow of thousands of widgets does not become millions of bends.
const LED: usize = 12;

impl Layers {
    pub(super) fn of(definition: &Definition) -> Self {
        let mut layers = Self::default();
        let links = links(definition, &mut layers);
        let back = turned(&links, layers.spots.len(), start(definition));
        layers.assign(&links, &back);
        for (link, back) in links.iter().zip(back) {
            layers.lead(link, back);
        }
        layers.fill_rows();
        for sweep in 0..SWEEPS {
            layers.sweep(sweep % 2 == 0);
        }
        layers
    }

    /// The layer of each spot: one below the lowest that leads to it.
    fn assign(&mut self, links: &[Link], back: &[bool]) {
        let count = self.spots.len();
        let (mut below, mut incoming) = (vec![Vec::new(); count], vec![0_usize; count]);
        for (link, back) in links.iter().zip(back) {
            let (from, to) = if *back {
                (link.to, link.from)
            } else {
                (link.from, link.to)
            };
            if from != to {
                below[from].push(to);
                incoming[to] += 1;
            }
        }
        self.layer = vec![0; count];
        let mut open: Vec<usize> = (0..count).filter(|spot| incoming[*spot] == 0).collect();
        while let Some(spot) = open.pop() {
            for next in std::mem::take(&mut below[spot]) {
                self.layer[next] = self.layer[next].max(self.layer[spot] + 1);
                incoming[next] -= 1;
                if incoming[next] == 0 {
                    open.push(next);
                }
            }
        }
    }

    /// Adds a road, with a bend in each layer it passes.
    fn lead(&mut self, link: &Link, back: bool) {
        let (first, last) = if back {
            (link.to, link.from)
        } else {
            (link.from, link.to)
        };
        let mut spots = vec![first];
        let between = self.layer[first] + 1..self.layer[last];
        let led = self.layer[last] - self.layer[first] <= LED;
        for layer in between.filter(|_| led) {
            spots.push(self.spots.len());
            self.spots.push(Spot::Bend);
            self.layer.push(layer);
        }
        spots.push(last);
        self.roads.push(Road {
            widget: link.from,
            exit: link.exit,
            spots,
            back,
        });
    }

    /// Spots in the order in which a walk from the start meets them.
    fn fill_rows(&mut self) {
        let last = self.layer.iter().max().copied().unwrap_or_default();
        self.rows = vec![Vec::new(); last + 1];
        let mut next = vec![Vec::new(); self.spots.len()];
        for road in &self.roads {
            for pair in road.spots.windows(2) {
                next[pair[0]].push(pair[1]);
            }
        }
        let mut seen = vec![false; self.spots.len()];
        for root in 0..self.spots.len() {
            let mut open = vec![root];
            while let Some(spot) = open.pop() {
                if !std::mem::replace(&mut seen[spot], true) {
                    self.rows[self.layer[spot]].push(spot);
                    open.extend(next[spot].iter().rev());
                }
            }
        }
    }

    /// Orders each layer by where its neighbours above (or below) stand on average.
    fn sweep(&mut self, down: bool) {
        let mut neighbours = vec![Vec::new(); self.spots.len()];
        for road in &self.roads {
            for pair in road.spots.windows(2) {
                let (from, to) = if down {
                    (pair[0], pair[1])
                } else {
                    (pair[1], pair[0])
                };
                neighbours[to].push(from);
            }
        }
        let mut place = vec![0_usize; self.spots.len()];
        for row in &self.rows {
            for (at, spot) in row.iter().enumerate() {
                place[*spot] = at;
            }
        }
        let count = self.rows.len();
        for step in 0..count {
            let row = if down { step } else { count - 1 - step };
            let mut keyed: Vec<(usize, usize)> = self.rows[row]
                .iter()
                .map(|spot| {
                    let near = &neighbours[*spot];
                    let sum: usize = near.iter().map(|other| place[*other] * 1_024).sum();
                    let average = sum.checked_div(near.len());
                    (average.unwrap_or(place[*spot] * 1_024), *spot)
                })
                .collect();
            keyed.sort_by_key(|(key, _)| *key);
            self.rows[row] = keyed.into_iter().map(|(_, spot)| spot).collect();
            for (at, spot) in self.rows[row].iter().enumerate() {
                place[*spot] = at;
            }
        }
    }
}

/// An exit and where it leads, as spots.
struct Link {
    from: usize,
    exit: usize,
    to: usize,
}

fn start(definition: &Definition) -> usize {
    let mut widgets = definition.widgets.iter();
    widgets
        .position(|widget| widget.name == definition.start)
        .unwrap_or_default()
}

/// Every exit as a link. Exits to nowhere get an end of their own; exits to widgets that do not
/// exist too.
fn links(definition: &Definition, layers: &mut Layers) -> Vec<Link> {
    let mut places = BTreeMap::new();
    for (at, widget) in definition.widgets.iter().enumerate() {
        layers.spots.push(Spot::Widget(at));
        places.entry(widget.name.as_str()).or_insert(at);
    }
    let mut links = Vec::new();
    for (from, widget) in definition.widgets.iter().enumerate() {
        for (exit, (name, target)) in widget.exits.0.iter().enumerate() {
            let known = target.as_deref().and_then(|target| places.get(target));
            if target.is_none() && widget.settings.may_pass_over(name) {
                // Leads nowhere because nothing happens.
                continue;
            }
            let to = known.copied().unwrap_or_else(|| {
                layers.spots.push(Spot::End);
                layers.spots.len() - 1
            });
            links.push(Link { from, exit, to });
        }
    }
    links
}

/// Which links lead back to where a walk from the start is still under way.
fn turned(links: &[Link], count: usize, start: usize) -> Vec<bool> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        Open,
        Done,
    }
    let mut out = vec![Vec::new(); count];
    for (at, link) in links.iter().enumerate() {
        out[link.from].push(at);
    }
    let (mut marks, mut back) = (vec![Mark::New; count], vec![false; links.len()]);
    for root in std::iter::once(start).chain(0..count) {
        if marks.get(root) != Some(&Mark::New) {
            continue;
        }
        marks[root] = Mark::Open;
        let mut trail = vec![(root, 0)];
        while let Some((spot, next)) = trail.last_mut() {
            let Some(at) = out[*spot].get(*next).copied() else {
                marks[*spot] = Mark::Done;
                trail.pop();
                continue;
            };
            *next += 1;
            let to = links[at].to;
            match marks[to] {
                Mark::Open => back[at] = true,
                Mark::Done => {}
                Mark::New => {
                    marks[to] = Mark::Open;
                    trail.push((to, 0));
                }
            }
        }
    }
    back
}
