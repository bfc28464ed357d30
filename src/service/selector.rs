//! The schedulers: how a service picks the backend of a new session.

use super::{
    hash,
    maglev::{Member, Ring},
    rings::members,
    rotation::{Cursor, Rotation, smooth},
    spec::{Backend, Client},
};
use crate::types::BackendId;

/// What a ring is asked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Flow,
    Source,
}

/// A scheduler with what it needs. Places are indexes into the service's list of backends.
#[derive(Debug)]
pub(super) enum Selector {
    Ring {
        key: Key,
        ring: Ring,
        /// The ring's members: copies, so that one step leads from a slot to its backend.
        members: Box<[Backend]>,
        /// Slots the service's rings have while they have several members; see `rings`.
        size: Option<usize>,
    },
    Turns(Rotation),
    Least(Box<[u16]>),
}

impl Selector {
    pub(super) fn round_robin(backends: &[Backend], cursor: Cursor) -> Self {
        Self::Turns(Rotation::new(eligible(backends).collect(), cursor))
    }

    pub(super) fn weighted_round_robin(backends: &[Backend], cursor: Cursor) -> Self {
        let places: Vec<u16> = eligible(backends).collect();
        let weights: Vec<u16> = places.iter().map(|&at| backends[usize::from(at)].weight).collect();
        let turns = smooth(&weights).into_iter().map(|at| places[at]).collect();
        Self::Turns(Rotation::new(turns, cursor))
    }

    pub(super) fn least_connections(backends: &[Backend]) -> Self {
        Self::Least(eligible(backends).collect())
    }

    /// The backend of a new session, of the service's `backends`.
    #[inline]
    pub(super) fn select<'a>(
        &'a self,
        backends: &'a [Backend],
        client: &Client,
        active: impl Fn(BackendId) -> u32,
    ) -> Option<&'a Backend> {
        match self {
            Self::Ring { key, ring, members, .. } => {
                let hash = match key {
                    Key::Flow => hash::mix(client.flow),
                    Key::Source => hash::address(client.source),
                };
                members.get(usize::from(ring.pick(hash)?))
            }
            Self::Turns(rotation) => backends.get(usize::from(rotation.next()?)),
            Self::Least(places) => least(places, backends, active),
        }
    }

    pub(super) fn cursor(&self) -> Option<&Cursor> {
        match self {
            Self::Turns(rotation) => Some(rotation.cursor()),
            _ => None,
        }
    }

    /// What its ring is made of, and the size it was given.
    pub(super) fn ring_members(&self) -> Option<(Box<[Member]>, Option<usize>)> {
        match self {
            Self::Ring { members: backends, size, .. } => Some((members(backends), *size)),
            _ => None,
        }
    }

    /// Which ring it has, and the bytes that takes.
    pub(super) fn ring_usage(&self) -> Option<(usize, usize)> {
        match self {
            Self::Ring { ring, .. } => Some((ring.address(), ring.bytes())),
            _ => None,
        }
    }
}

fn eligible(backends: &[Backend]) -> impl Iterator<Item = u16> {
    (0..).zip(backends).filter(|(_, backend)| backend.is_eligible()).map(|(at, _)| at)
}

/// The first of those with the fewest sessions for their weight.
fn least<'a>(
    places: &[u16],
    backends: &'a [Backend],
    active: impl Fn(BackendId) -> u32,
) -> Option<&'a Backend> {
    let backends = places.iter().filter_map(|&at| backends.get(usize::from(at)));
    let loads = backends.map(|backend| (backend, u64::from(active(backend.id))));
    // a / v < b / w, without the division.
    let compare = |(one, a): &(&Backend, u64), (other, b): &(&Backend, u64)| {
        (a * u64::from(other.weight)).cmp(&(b * u64::from(one.weight)))
    };
    loads.min_by(compare).map(|(backend, _)| backend)
}
