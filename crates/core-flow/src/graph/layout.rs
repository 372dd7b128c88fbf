//! From layers to places on paper, in pixels.

use super::layers::{Layers, Spot};

/// Height of a widget.
pub(super) const HEIGHT: i64 = 52;
/// Radius of an end.
pub(super) const END: i64 = 7;
/// Between two layers, edge to edge.
const BETWEEN: i64 = 84;
/// Between two neighbours in a layer.
const BESIDE: i64 = 28;
/// Around everything.
pub(super) const MARGIN: i64 = 24;
/// Rounds in which places are pulled towards their neighbours.
const ROUNDS: usize = 12;

/// Where everything stands.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) layers: Layers,
    /// The middle of each spot, from the left.
    pub(super) x: Vec<i64>,
    /// The upper edge of each layer.
    pub(super) y: Vec<i64>,
    pub(super) width: i64,
    pub(super) height: i64,
}

impl Layout {
    /// Places the spots; `width` tells how wide the widget at a position is.
    pub(super) fn of(layers: Layers, width: impl Fn(usize) -> i64) -> Self {
        let half: Vec<i64> = layers
            .spots
            .iter()
            .map(|spot| match spot {
                Spot::Widget(at) => width(*at) / 2,
                Spot::End => END,
                Spot::Bend => 4,
            })
            .collect();
        let mut x = vec![0; layers.spots.len()];
        for row in &layers.rows {
            let mut left = 0;
            for spot in row {
                x[*spot] = left + half[*spot];
                left += 2 * half[*spot] + BESIDE;
            }
        }
        pull(&layers, &half, &mut x);
        let left = x.iter().zip(&half).map(|(x, half)| x - half).min();
        let shift = MARGIN - left.unwrap_or_default();
        for place in &mut x {
            *place += shift;
        }
        let right = x.iter().zip(&half).map(|(x, half)| x + half).max();
        let y: Vec<i64> = (0..).take(layers.rows.len()).collect();
        let y = y.iter().map(|row| MARGIN + row * (HEIGHT + BETWEEN));
        let y: Vec<i64> = y.collect();
        Self {
            width: right.unwrap_or_default() + MARGIN,
            height: y.last().copied().unwrap_or_default() + HEIGHT + MARGIN,
            layers,
            x,
            y,
        }
    }

    /// The upper edge of a spot.
    pub(super) fn top(&self, spot: usize) -> i64 {
        self.y[self.layers.layer[spot]]
    }
}

/// Moves spots under the middle of their neighbours, in turns from above and from below, without
/// changing the order within a layer.
fn pull(layers: &Layers, half: &[i64], x: &mut [i64]) {
    let mut near = vec![Vec::new(); x.len()];
    for road in &layers.roads {
        for pair in road.spots.windows(2) {
            near[pair[0]].push(pair[1]);
            near[pair[1]].push(pair[0]);
        }
    }
    for round in 0..ROUNDS {
        let rows: Vec<&Vec<usize>> = if round % 2 == 0 {
            layers.rows.iter().collect()
        } else {
            layers.rows.iter().rev().collect()
        };
        for row in rows {
            let wanted: Vec<i64> = row
                .iter()
                .map(|spot| {
                    let sum: i64 = near[*spot].iter().map(|other| x[*other]).sum();
                    let count = near[*spot].len() as i64;
                    sum.checked_div(count).unwrap_or(x[*spot])
                })
                .collect();
            settle(row, &wanted, half, x);
        }
    }
}

/// Gives each spot of a row its wanted place where there is room; those that would overlap share
/// the middle of what they want.
fn settle(row: &[usize], wanted: &[i64], half: &[i64], x: &mut [i64]) {
    // Blocks of spots that touch: first spot of the row, sum of wishes for its place, how many.
    let mut blocks: Vec<(usize, i64, i64)> = Vec::new();
    let mut offset = vec![0_i64; row.len()];
    for at in 0..row.len() {
        if at > 0 {
            offset[at] = offset[at - 1] + half[row[at - 1]] + BESIDE + half[row[at]];
        }
        blocks.push((at, wanted[at] - offset[at], 1));
        while let [.., (_, sum, count), (_, next_sum, next_count)] = blocks.as_slice() {
            if sum / count <= next_sum / next_count {
                break;
            }
            let (next_sum, next_count) = (*next_sum, *next_count);
            blocks.pop();
            if let Some(last) = blocks.last_mut() {
                last.1 += next_sum;
                last.2 += next_count;
            }
        }
    }
    let mut ends: Vec<usize> = blocks.iter().skip(1).map(|(first, ..)| *first).collect();
    ends.push(row.len());
    for ((first, sum, count), end) in blocks.into_iter().zip(ends) {
        for at in first..end {
            x[row[at]] = sum / count + offset[at];
        }
    }
}
