//! Unaffiliated echo (RFC 9747): control packets from this node to this node, by way of a router that only forwards.
//!
//! The router needs no BFD and no configuration, but strict reverse-path filtering on it swallows the packets. Each
//! one carries a TTL of 255 and must come back with 254: from one hop away, turned around once.

use super::{
    datagram::Datagram,
    discard::Discard,
    packet::{CONTROL_LENGTH, Control, Received},
    random::Random,
    schedule::{Guard, Schedule},
    settings::SLOW_TX_US,
    state::{Diagnostic, State},
};
use crate::types::{Duration, Instant};
use std::net::IpAddr;

/// The TTL or hop limit an echo packet comes back with (RFC 9747 section 2).
pub const ECHO_TTL: u8 = 254;

/// Intervals without an echo after which the session is Down.
const MULTIPLIER: u8 = 3;
const SLOW: Duration = Duration::from_micros(SLOW_TX_US as u64);

/// One session, from an address of this node through one router. Packets and time in, packets out.
#[derive(Clone, Debug)]
pub struct Echo {
    address: IpAddr,
    interval: Duration,
    discriminator: u32,
    state: State,
    diagnostic: Diagnostic,
    /// The discriminator has come back: packets may carry it as the other end's.
    looped: bool,
    last_heard: Option<Instant>,
    schedule: Schedule,
    guard: Guard,
    changed: bool,
}

impl Echo {
    /// A session in Down whose first packet is due now. `address` is this node's, at both ends of every packet;
    /// `interval` is from packet to packet once Up.
    pub fn new(address: IpAddr, interval: Duration, now: Instant, mut random: Random) -> Self {
        let discriminator = loop {
            match random.next_u32() {
                0 => {}
                discriminator => break discriminator,
            }
        };
        Self {
            address,
            interval,
            discriminator,
            state: State::Down,
            diagnostic: Diagnostic::NONE,
            looped: false,
            last_heard: None,
            schedule: Schedule::new(SLOW, now, random),
            guard: Guard::default(),
            changed: false,
        }
    }

    /// Takes an echo packet received `at`. Intervals and multiplier in it are ours and ignored; whoever invents a
    /// packet must guess the discriminator and stand one hop away.
    pub fn receive(&mut self, datagram: &Datagram<'_>, at: Instant) -> Result<(), Discard> {
        if datagram.ttl != ECHO_TTL {
            return Err(Discard::Ttl);
        }
        if (datagram.source, datagram.destination) != (self.address, self.address) {
            return Err(Discard::WrongPath);
        }
        let packet = Received::parse(datagram.payload)?;
        if packet.authenticated {
            return Err(Discard::UnexpectedAuthentication);
        }
        let Control { my_discriminator, your_discriminator, state, .. } = packet.control;
        let ours =
            my_discriminator == self.discriminator && [0, my_discriminator].contains(&your_discriminator);
        // There is nobody at the other end to hold the session down.
        if !ours || state == State::AdminDown {
            return Err(Discard::UnknownDiscriminator);
        }
        self.last_heard = self.last_heard.max(Some(at));
        self.changed |= !self.looped;
        self.looped = true;
        self.enter(self.state.after(state));
        Ok(())
    }

    /// Judges the silence; `drained_at` is a moment at which the receive queue was known to be empty.
    pub fn expire(&mut self, drained_at: Instant) {
        let time = self.pace().times(MULTIPLIER.into());
        let silent = self.last_heard.is_some_and(|last| last + time <= drained_at);
        if silent && self.looped {
            self.looped = false;
            self.diagnostic = Diagnostic::ECHO_FAILED;
            self.enter(State::Down);
        }
    }

    /// The next packet that is due at `now`: a UDP payload to [`super::ECHO_PORT`] for [`super::emit`].
    pub fn transmit(&mut self, now: Instant) -> Option<[u8; CONTROL_LENGTH]> {
        let window = self.pace().times(MULTIPLIER.into());
        let early = self.changed && self.guard.free_at(window) <= now;
        if !early && self.schedule.next() > now {
            return None;
        }
        if early {
            self.guard.spend(now, window);
        }
        self.changed = false;
        self.schedule.sent(now, MULTIPLIER);
        Some(self.content().emit(CONTROL_LENGTH as u8, false))
    }

    /// Sends the next packet early, once.
    pub fn hurry(&mut self) {
        self.changed |= self.state == State::Up;
    }

    /// Echoes came back, and ceased to.
    pub fn has_failed(&self) -> bool {
        self.state != State::Up && self.diagnostic == Diagnostic::ECHO_FAILED
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// When the newest echo came back.
    pub fn last_heard(&self) -> Option<Instant> {
        self.last_heard
    }

    /// This node's address, at both ends.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// RFC 9747 section 2: no more than a packet a second until Up.
    fn pace(&self) -> Duration {
        if self.state == State::Up { self.interval } else { SLOW.max(self.interval) }
    }

    fn enter(&mut self, state: State) {
        if state == self.state {
            return;
        }
        self.state = state;
        if state == State::Up {
            self.diagnostic = Diagnostic::NONE;
        }
        self.changed = true;
        self.schedule.set_interval(self.pace(), MULTIPLIER);
    }

    fn content(&self) -> Control {
        Control {
            diagnostic: self.diagnostic,
            state: self.state,
            poll: false,
            is_final: false,
            control_plane_independent: false,
            demand: false,
            multiplier: MULTIPLIER,
            my_discriminator: self.discriminator,
            your_discriminator: if self.looped { self.discriminator } else { 0 },
            desired_min_tx_us: SLOW_TX_US,
            required_min_rx_us: SLOW_TX_US,
            required_min_echo_rx_us: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ECHO_PORT, Endpoints, MAX_DATAGRAM, emit};
    use super::*;

    const INTERVAL: Duration = Duration::from_micros(500);

    fn at(us: u64) -> Instant {
        Instant::ZERO + Duration::from_micros(us)
    }

    fn echo(address: &str) -> Echo {
        Echo::new(address.parse().unwrap(), INTERVAL, at(0), Random::seeded(7))
    }

    /// The packet as a router turns it around.
    fn turned(echo: &Echo, payload: &[u8], ttl: u8) -> Vec<u8> {
        let [source, destination] = [echo.address; 2];
        let endpoints = Endpoints { source, destination, source_port: 50_000, destination_port: ECHO_PORT };
        let mut ip = vec![0; MAX_DATAGRAM];
        let length = emit(&mut ip, &endpoints, payload).unwrap();
        ip.truncate(length);
        if source.is_ipv4() {
            ip[8] = ttl;
            ip[10..12].fill(0);
            let sum = !crate::packet::fold(crate::packet::sum(&ip[..20]));
            ip[10..12].copy_from_slice(&sum.to_ne_bytes());
        } else {
            ip[7] = ttl;
        }
        ip
    }

    fn returned(echo: &mut Echo, payload: &[u8], ttl: u8, when: u64) -> Result<(), Discard> {
        let ip = turned(echo, payload, ttl);
        echo.receive(&Datagram::parse_echo(&ip).unwrap(), at(when))
    }

    fn come_up(echo: &mut Echo) {
        for (us, state) in [(0, State::Init), (100, State::Up)] {
            let payload = echo.transmit(at(us)).unwrap();
            returned(echo, &payload, ECHO_TTL, us + 50).unwrap();
            assert_eq!(echo.state(), state);
        }
    }

    #[test]
    fn golden_first_packet_and_the_next() {
        let mut echo = echo("10.0.0.1");
        let first = echo.transmit(at(0)).unwrap();
        let discriminator = echo.discriminator.to_be_bytes();
        let second_us = 1_000_000u32.to_be_bytes();
        let expected = [[0x20, 0x40, 3, 24], discriminator, [0; 4], second_us, second_us, [0; 4]].concat();
        assert_eq!(first[..], expected[..]);
        returned(&mut echo, &first, ECHO_TTL, 50).unwrap();
        let second = echo.transmit(at(60)).unwrap();
        assert_eq!(
            (second[1], &second[4..8], &second[8..12]),
            (0x80, &discriminator[..], &discriminator[..])
        );
    }

    #[test]
    fn comes_up_in_two_round_trips_then_keeps_its_pace() {
        for address in ["10.0.0.1", "fd00::1"] {
            let mut echo = echo(address);
            come_up(&mut echo);
            let (mut sent, mut last) = (0, None);
            for us in 150..100_150 {
                if let Some(payload) = echo.transmit(at(us)) {
                    if let Some(last) = last.replace(us).filter(|_| sent > 1) {
                        assert!((375..=501).contains(&(us - last)), "{}", us - last);
                    }
                    sent += 1;
                    returned(&mut echo, &payload, ECHO_TTL, us).unwrap();
                }
                echo.expire(at(us));
            }
            assert_eq!(echo.state(), State::Up);
            assert!((200..270).contains(&sent), "{sent}");
        }
    }

    #[test]
    fn slow_until_up() {
        let mut echo = echo("10.0.0.1");
        let sent: Vec<u64> = (0..10_000).filter(|ms| echo.transmit(at(ms * 1000)).is_some()).collect();
        assert!((10..=14).contains(&sent.len()), "{sent:?}");
        assert!(sent.windows(2).all(|pair| (750..=1001).contains(&(pair[1] - pair[0]))), "{sent:?}");
    }

    #[test]
    fn silence_takes_it_down_with_diagnostic_2_and_to_the_slow_pace() {
        let mut echo = echo("10.0.0.1");
        come_up(&mut echo);
        echo.expire(at(150 + 1499));
        assert_eq!(echo.state(), State::Up);
        echo.expire(at(150 + 1500));
        assert_eq!(echo.state(), State::Down);
        let payload = echo.transmit(at(2000)).unwrap();
        assert_eq!((payload[0], payload[1], &payload[8..12]), (0x22, 0x40, &[0; 4][..]));
        assert_eq!(echo.transmit(at(2000 + 700_000)), None);
    }

    #[test]
    fn other_packets_move_nothing() {
        let mut echo = echo("10.0.0.1");
        let payload = echo.transmit(at(0)).unwrap();
        let spoiled = |at: usize, value: u8| {
            let mut payload = payload;
            payload[at] = value;
            payload
        };
        for (what, payload, ttl, reason) in [
            ("not turned around", payload, 255, Discard::Ttl),
            ("from two hops away", payload, 253, Discard::Ttl),
            ("another's", spoiled(4, !payload[4]), ECHO_TTL, Discard::UnknownDiscriminator),
            ("answered by somebody", spoiled(11, 1), ECHO_TTL, Discard::UnknownDiscriminator),
            ("AdminDown", spoiled(1, 0), ECHO_TTL, Discard::UnknownDiscriminator),
            ("another version", spoiled(0, 0x40), ECHO_TTL, Discard::Version),
        ] {
            assert_eq!(returned(&mut echo, &payload, ttl, 5), Err(reason), "{what}");
            assert_eq!((echo.state(), echo.last_heard()), (State::Down, None), "{what}");
        }
        let ip = turned(&echo, &payload, ECHO_TTL);
        let datagram = Datagram::parse_echo(&ip).unwrap();
        let foreign = Datagram { source: "10.0.0.2".parse().unwrap(), ..datagram };
        assert_eq!(echo.receive(&foreign, at(5)), Err(Discard::WrongPath));
    }
}
