//! L8: whole nodes on virtual time: real control cores and workers, put together as for real ports, on ports in memory.
//!
//! A seed draws a pair, its network, and what goes wrong: nodes crash, start, stand still; cables lose, double, delay
//! and reorder frames, or are cut in one direction or both; the operator wants a switchover. Clients open connections
//! and keep talking. After every step the `judge` looks; at the end the pair must have recovered. The same seed always
//! tells the same story.

mod fabric;
mod hosts;
mod judge;
mod node;
mod plan;
mod scenario;
mod segment;
mod world;

pub use plan::{BACKEND_PORT, GATEWAY, LOCAL, Plan, VIP, VIP_PORT, node_mac};

use crate::{protocol::bfd::Random, types::Duration};
use scenario::Scenario;
use world::{Story, World};

/// What became of a seed.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What must not be, if anything was.
    pub wrong: Option<String>,
    /// Virtual time that passed.
    pub lasted: Duration,
    /// Frames carried.
    pub frames: u64,
    /// The longest time nobody answered though a node was fit to serve.
    pub longest_outage: Duration,
    /// What happened, line by line; empty unless asked for.
    pub story: Vec<String>,
}

/// Lives through a seed's scenario; `told`: with its story.
pub fn simulate(seed: u64, told: bool) -> Outcome {
    let mut random = Random::seeded(seed);
    let scenario = Scenario::draw(&mut random);
    let mut world = match World::new(&scenario, &mut random, Story::new(told)) {
        Ok(world) => world,
        Err(wrong) => {
            let story = Vec::new();
            return Outcome {
                wrong: Some(wrong),
                lasted: Duration::ZERO,
                frames: 0,
                longest_outage: Duration::ZERO,
                story,
            };
        }
    };
    let wrong = world.live(&scenario).err();
    let (frames, longest_outage, now) = world.sums();
    let mut story = std::mem::take(&mut world.story.lines);
    if told {
        story.insert(0, format!("{scenario:?}"));
    }
    Outcome { wrong, lasted: now.since(crate::types::Instant::ZERO), frames, longest_outage, story }
}
