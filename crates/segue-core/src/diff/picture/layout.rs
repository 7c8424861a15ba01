//! A layered layout: every line runs downwards unless it closes a cycle, neighbours stand close.
//!
//! The usual four steps (Sugiyama): turn the lines that close cycles, give each node a layer by its longest
//! way from the top, order the layers so that few lines cross, move nodes towards their neighbours.
//! Lines over several layers pass through points of their own, so that they go around nodes.

use super::Picture;

/// Passes over the layers; more do not make a visible difference.
const SWEEPS: usize = 12;
/// Points on long lines in all; above it long lines are drawn straight.
const MAX_POINTS: usize = 20_000;

pub(super) const NODE_WIDTH: f64 = 212.0;
pub(super) const NODE_HEIGHT: f64 = 58.0;
const COLUMN_GAP: f64 = 34.0;
const POINT_WIDTH: f64 = 26.0;
const LAYER_GAP: f64 = 74.0;

/// Where everything is, in pixels.
#[derive(Debug)]
pub(super) struct Layout {
    /// By node: its middle.
    pub nodes: Vec<(f64, f64)>,
    /// By line: the points that it passes, from the source to the target, both excluded.
    pub bends: Vec<Vec<(f64, f64)>>,
    /// By line: whether it closes a cycle and runs upwards.
    pub is_back: Vec<bool>,
    pub width: f64,
    pub height: f64,
}

/// A node, or a point on a long line.
struct Place {
    layer: usize,
    width: f64,
    x: f64,
    above: Vec<usize>,
    below: Vec<usize>,
}

pub(super) fn layout(picture: &Picture) -> Layout {
    let is_back = back_lines(picture);
    let layers = layers(picture, &is_back);
    let mut places: Vec<Place> = layers
        .iter()
        .map(|layer| Place {
            layer: *layer,
            width: NODE_WIDTH,
            x: 0.0,
            above: Vec::new(),
            below: Vec::new(),
        })
        .collect();
    let points = connect(picture, &is_back, &mut places);
    let mut rows = order(&mut places);
    set_columns(&mut rows, &mut places);
    let left = places.iter().map(|place| place.x - place.width / 2.0).fold(f64::MAX, f64::min);
    let right = places.iter().map(|place| place.x + place.width / 2.0).fold(f64::MIN, f64::max);
    let y = |layer: usize| NODE_HEIGHT / 2.0 + precise(layer) * (NODE_HEIGHT + LAYER_GAP);
    let at = |place: usize| (places[place].x - left, y(places[place].layer));
    let bends = picture
        .lines
        .iter()
        .zip(&points)
        .zip(&is_back)
        .map(|((_, points), is_back)| {
            let mut bends: Vec<_> = points.iter().map(|point| at(*point)).collect();
            if *is_back {
                bends.reverse();
            }
            bends
        })
        .collect();
    Layout {
        nodes: (0..picture.nodes.len()).map(at).collect(),
        bends,
        is_back,
        width: right - left,
        height: y(rows.len().saturating_sub(1)) + NODE_HEIGHT / 2.0,
    }
}

/// Numbers in a picture are small.
fn precise(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

/// The lines that close a cycle, seen in a walk from the entry.
fn back_lines(picture: &Picture) -> Vec<bool> {
    #[derive(Clone, Copy, PartialEq)]
    enum State {
        New,
        Open,
        Done,
    }
    let mut out: Vec<Vec<usize>> = vec![Vec::new(); picture.nodes.len()];
    for (nth, line) in picture.lines.iter().enumerate() {
        out[line.from].push(nth);
    }
    let mut state = vec![State::New; picture.nodes.len()];
    let mut is_back = vec![false; picture.lines.len()];
    let starts = std::iter::once(picture.entry).chain(0..picture.nodes.len());
    for start in starts {
        if state[start] != State::New {
            continue;
        }
        state[start] = State::Open;
        let mut walk = vec![(start, 0)];
        while let Some((node, next)) = walk.last_mut() {
            let Some(line) = out[*node].get(*next).copied() else {
                state[*node] = State::Done;
                walk.pop();
                continue;
            };
            *next += 1;
            let to = picture.lines[line].to;
            match state[to] {
                State::Open => is_back[line] = true,
                State::New => {
                    state[to] = State::Open;
                    walk.push((to, 0));
                }
                State::Done => {}
            }
        }
    }
    is_back
}

/// By node: its layer, the longest way from the top.
fn layers(picture: &Picture, is_back: &[bool]) -> Vec<usize> {
    let count = picture.nodes.len();
    let (mut out, mut missing) = (vec![Vec::new(); count], vec![0_usize; count]);
    for (line, is_back) in picture.lines.iter().zip(is_back) {
        if !is_back {
            out[line.from].push(line.to);
            missing[line.to] += 1;
        }
    }
    let mut layers = vec![0; count];
    let mut ready: Vec<usize> = (0..count).filter(|node| missing[*node] == 0).collect();
    while let Some(node) = ready.pop() {
        for to in &out[node] {
            layers[*to] = layers[*to].max(layers[node] + 1);
            missing[*to] -= 1;
            if missing[*to] == 0 {
                ready.push(*to);
            }
        }
    }
    layers
}

/// Connects the places, with points on long lines. By line: its points from top to bottom.
fn connect(picture: &Picture, is_back: &[bool], places: &mut Vec<Place>) -> Vec<Vec<usize>> {
    let span = |line: &super::Line| places[line.from].layer.abs_diff(places[line.to].layer);
    let wanted: usize = picture.lines.iter().map(|line| span(line).saturating_sub(1)).sum();
    let mut all = Vec::with_capacity(picture.lines.len());
    for (line, is_back) in picture.lines.iter().zip(is_back) {
        let (top, bottom) = if *is_back { (line.to, line.from) } else { (line.from, line.to) };
        let (first, last) = (places[top].layer, places[bottom].layer);
        let mut points = Vec::new();
        let mut above = top;
        if wanted <= MAX_POINTS {
            for layer in first + 1..last {
                let point = places.len();
                places.push(Place {
                    layer,
                    width: POINT_WIDTH,
                    x: 0.0,
                    above: vec![above],
                    below: Vec::new(),
                });
                places[above].below.push(point);
                points.push(point);
                above = point;
            }
        }
        if top != bottom {
            places[above].below.push(bottom);
            places[bottom].above.push(above);
        }
        all.push(points);
    }
    all
}

/// By layer: its places from left to right, with few crossings.
fn order(places: &mut [Place]) -> Vec<Vec<usize>> {
    let count = places.iter().map(|place| place.layer + 1).max().unwrap_or(0);
    let mut rows: Vec<Vec<usize>> = vec![Vec::new(); count];
    for (nth, place) in places.iter().enumerate() {
        rows[place.layer].push(nth);
    }
    let mut rank = vec![0.0; places.len()];
    let mut best = (usize::MAX, rows.clone());
    for sweep in 0..SWEEPS {
        let is_down = sweep % 2 == 0;
        for step in 0..count {
            let layer = if is_down { step } else { count - 1 - step };
            let row = &mut rows[layer];
            let wish = |place: usize| {
                let beside = if is_down { &places[place].above } else { &places[place].below };
                mean(beside.iter().map(|other| rank[*other])).unwrap_or(rank[place])
            };
            let mut wished: Vec<(f64, usize)> =
                row.iter().map(|place| (wish(*place), *place)).collect();
            wished.sort_by(|a, b| a.0.total_cmp(&b.0));
            *row = wished.into_iter().map(|(_, place)| place).collect();
            for (nth, place) in row.iter().enumerate() {
                rank[*place] = precise(nth);
            }
        }
        let crossings = crossings(&rows, places, &rank);
        if crossings < best.0 {
            best = (crossings, rows.clone());
        }
    }
    best.1
}

fn mean(numbers: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = numbers.fold((0.0, 0.0), |(sum, count), number| (sum + number, count + 1.0));
    (count > 0.0).then_some(sum / count)
}

/// How many lines cross, counted up to a few thousand places.
fn crossings(rows: &[Vec<usize>], places: &[Place], rank: &[f64]) -> usize {
    if places.len() > 3_000 {
        return 0;
    }
    let mut crossings = 0;
    for row in rows {
        let mut lines: Vec<(f64, f64)> = row
            .iter()
            .flat_map(|place| places[*place].below.iter().map(|below| (rank[*place], rank[*below])))
            .collect();
        lines.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
        for (nth, line) in lines.iter().enumerate() {
            crossings += lines[nth + 1..].iter().filter(|o| o.0 > line.0 && o.1 < line.1).count();
        }
    }
    crossings
}

/// Moves places towards their neighbours, without changing their order or letting them touch.
fn set_columns(rows: &mut [Vec<usize>], places: &mut [Place]) {
    for row in rows.iter() {
        let mut x = 0.0;
        for place in row {
            let width = places[*place].width;
            places[*place].x = x + width / 2.0;
            x += width + COLUMN_GAP;
        }
        let middle = (x - COLUMN_GAP) / 2.0;
        row.iter().for_each(|place| places[*place].x -= middle);
    }
    for sweep in 0..SWEEPS {
        for step in 0..rows.len() {
            let row = &rows[if sweep % 2 == 0 { step } else { rows.len() - 1 - step }];
            let wishes: Vec<f64> = row
                .iter()
                .map(|place| {
                    let Place { above, below, x, .. } = &places[*place];
                    let beside = if sweep % 2 == 0 { above } else { below };
                    mean(beside.iter().map(|other| places[*other].x)).unwrap_or(*x)
                })
                .collect();
            settle(row, &wishes, places);
        }
    }
}

/// Gives each place of a row the column that it wishes, as far as its neighbours let it: groups that touch
/// move together to the mean of their wishes.
fn settle(row: &[usize], wishes: &[f64], places: &mut [Place]) {
    // A group: its members, and where its first member would like to stand, summed over the members.
    let mut groups: Vec<(usize, usize, f64)> = Vec::new();
    let mut offsets = vec![0.0; row.len()];
    let mut offset = 0.0;
    for (nth, place) in row.iter().enumerate() {
        if nth > 0 {
            let before = &places[row[nth - 1]];
            offset += (before.width + places[*place].width) / 2.0 + COLUMN_GAP;
        }
        offsets[nth] = offset;
        groups.push((nth, 1, wishes[nth] - offset));
        while let [.., (_, count, sum), (_, next_count, next_sum)] = groups.as_slice() {
            if sum / precise(*count) <= next_sum / precise(*next_count) {
                break;
            }
            let (_, next_count, next_sum) = groups.pop().expect("there are two groups");
            let (_, count, sum) = groups.last_mut().expect("there are two groups");
            *count += next_count;
            *sum += next_sum;
        }
    }
    for (first, count, sum) in groups {
        for nth in first..first + count {
            places[row[nth]].x = sum / precise(count) + offsets[nth];
        }
    }
}
