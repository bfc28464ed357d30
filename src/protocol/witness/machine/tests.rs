use super::*;
use crate::protocol::bfd::{ECHO_TTL, MAX_DATAGRAM, emit};

const LAN: PortId = PortId(1);
const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);

fn at(us: u64) -> Instant {
    Instant::ZERO + Duration::from_micros(us)
}

fn ms(ms: u64) -> Instant {
    at(ms * 1000)
}

fn gateway(last: u8) -> Gateway {
    let [local, address] = [11, last].map(|last| IpAddr::from([10, 0, 0, last]));
    Gateway { port: LAN, local, address }
}

fn witness(check: Check, gateways: &[u8]) -> Witness {
    let gateways = gateways.iter().map(|last| gateway(*last));
    Witness::new(check, check.interval(None), gateways, at(0), Random::seeded(3))
}

fn asked(witness: &mut Witness, now: Instant) -> Vec<(Gateway, Request)> {
    std::iter::from_fn(|| witness.ask(now)).collect()
}

#[test]
fn arp_is_paced_and_goes_to_the_mac_that_answered() {
    let mut witness = witness(Check::Arp, &[1]);
    let ask = |to| vec![(gateway(1), Request::Arp(Ask { port: LAN, address: gateway(1).address, to }))];
    assert_eq!(asked(&mut witness, ms(0)), ask(None));
    assert_eq!(asked(&mut witness, at(9999)), []);
    witness.hear_arp(LAN, gateway(1).address, MAC, at(300));
    assert_eq!((witness.deadline(), asked(&mut witness, ms(10))), (Some(ms(10)), ask(Some(MAC))));
    assert_eq!(asked(&mut witness, ms(20)), ask(Some(MAC)));
    assert_eq!(asked(&mut witness, ms(30)), ask(Some(MAC)));
    assert_eq!(asked(&mut witness, ms(40)), ask(None), "it may have another");
}

#[test]
fn only_the_gateway_s_answer_on_its_port_counts() {
    let mut witness = witness(Check::Arp, &[1]);
    asked(&mut witness, ms(0));
    witness.hear_arp(PortId(0), gateway(1).address, MAC, ms(1));
    witness.hear_arp(LAN, gateway(2).address, MAC, ms(1));
    witness.hear_ping(gateway(1).address, EchoId { identifier: 0, sequence: 0 }, ms(1));
    assert_eq!((witness.judge(ms(2)).answered, witness.counters().answered), (None, 0));
    witness.hear_arp(LAN, gateway(1).address, MAC, ms(1));
    witness.hear_arp(LAN, gateway(1).address, MAC, ms(2));
    assert_eq!(witness.judge(ms(2)).answered, Some(ms(1)));
    assert_eq!(witness.counters(), Counters { asked: 1, answered: 1, unasked: 1 });
}

#[test]
fn a_ping_is_answered_by_its_own_numbers() {
    let mut witness = witness(Check::Ping, &[1]);
    let [(_, Request::Ping(first))] = asked(&mut witness, ms(0))[..] else { panic!("not a ping") };
    let [(_, Request::Ping(second))] = asked(&mut witness, ms(10))[..] else { panic!("not a ping") };
    assert_eq!(second.sequence, first.sequence.wrapping_add(1));
    for wrong in [
        EchoId { identifier: !first.identifier, ..first },
        EchoId { sequence: first.sequence.wrapping_sub(1), ..first },
        EchoId { sequence: second.sequence.wrapping_add(1), ..second },
    ] {
        witness.hear_ping(gateway(1).address, wrong, ms(11));
        assert_eq!(witness.judge(ms(11)).answered, None, "{wrong:?}");
    }
    witness.hear_ping(gateway(1).address, first, ms(11));
    assert_eq!(witness.judge(ms(11)).answered, Some(ms(11)), "late, but an answer");
}

#[test]
fn any_of_several_gateways_keeps_the_node_from_being_lost() {
    let mut witness = witness(Check::Arp, &[1, 2]);
    for turn in 0..20 {
        let now = ms(turn * 10);
        assert_eq!(asked(&mut witness, now).len(), 2);
        if turn < 10 {
            witness.hear_arp(LAN, gateway(2).address, MAC, now + Duration::from_micros(200));
        }
        let evidence = witness.judge(now + Duration::from_millis(1));
        // The last answer is to the question at 90 ms; the one at 100 ms is the first without.
        assert_eq!(evidence.lost_since, (turn >= 13).then_some(ms(130)), "turn {turn}");
        assert_eq!(evidence.fresh(now), turn < 13, "turn {turn}");
    }
    witness.hear_arp(LAN, gateway(1).address, MAC, ms(199));
    assert!(!witness.judge(ms(200)).lost());
}

#[test]
fn no_gateways_no_questions() {
    let mut witness = witness(Check::Arp, &[]);
    assert_eq!((witness.ask(ms(5)), witness.deadline()), (None, None));
    assert_eq!(witness.judge(ms(5)), Evidence { window: Duration::from_millis(30), ..Evidence::NOT_ASKED });
}

fn turned_around(endpoints: &Endpoints, payload: &[u8]) -> Vec<u8> {
    let mut ip = vec![0; MAX_DATAGRAM];
    let length = emit(&mut ip, endpoints, payload).unwrap();
    ip.truncate(length);
    ip[8] = ECHO_TTL;
    ip[10..12].fill(0);
    let sum = !crate::packet::fold(crate::packet::sum(&ip[..20]));
    ip[10..12].copy_from_slice(&sum.to_ne_bytes());
    ip
}

#[test]
fn two_gateways_echo_each_its_own() {
    let mut witness = witness(Check::BfdEcho, &[1, 2]);
    let mut sent = [0; 2];
    for us in (0..200_000).step_by(50) {
        for (from, request) in asked(&mut witness, at(us)) {
            let Request::Echo { endpoints, payload } = request else { panic!("{request:?}") };
            assert_eq!((endpoints.source, endpoints.destination), (from.local, from.local));
            let index = usize::from(from == gateway(2));
            sent[index] += 1;
            // The second one falls silent.
            if index == 0 || us < 100_000 {
                let ip = turned_around(&endpoints, &payload);
                let datagram = Datagram::parse_echo(&ip).unwrap();
                assert_eq!(witness.hear_echo(PortId(0), &datagram, at(us)), Err(Discard::NoSession));
                assert_eq!(witness.hear_echo(LAN, &datagram, at(us)), Ok(()));
            }
        }
        let evidence = witness.judge(at(us));
        assert!(evidence.fresh(at(us)) && !evidence.lost(), "{us}");
    }
    let states: Vec<_> = witness.gateways().map(|(.., state)| state).collect();
    assert_eq!(states, [Some(State::Up), Some(State::Down)]);
    assert!((200..=280).contains(&sent[0]) && sent[1] < 150, "{sent:?}");
}

#[test]
fn an_echo_that_ceases_is_lost_at_once_and_a_late_peer_is_reason_to_ask() {
    let mut witness = witness(Check::BfdEcho, &[1]);
    let interval = Check::BfdEcho.interval(None);
    // Turned around by the router, at once, for 20 ms; then no more.
    let mut last = at(0);
    for us in 0..20_000 {
        for (_, request) in asked(&mut witness, at(us)) {
            let Request::Echo { endpoints, payload } = request else { panic!("{request:?}") };
            let ip = turned_around(&endpoints, &payload);
            witness.hear_echo(LAN, &Datagram::parse_echo(&ip).unwrap(), at(us)).unwrap();
            last = at(us);
        }
        assert!(!witness.judge(at(us)).lost());
    }
    let cut = 20_000;
    let lost = (cut..cut + 20_000).find(|us| {
        asked(&mut witness, at(*us));
        witness.judge(at(*us)).lost()
    });
    // Three intervals after the last one that came back, and three after the first that did not.
    let bound = last + interval.times(5);
    assert!(lost.is_some_and(|us| at(us) <= bound), "{lost:?} after {cut}, {last:?}");

    let mut witness = self::witness(Check::Arp, &[1]);
    asked(&mut witness, ms(0));
    witness.hear_arp(LAN, gateway(1).address, MAC, at(100));
    witness.hurry(ms(2), at(2_500));
    assert_eq!(
        asked(&mut witness, at(2_500)).len(),
        1,
        "asked although the next question was due after 10 ms"
    );
    witness.hurry(ms(2), at(2_600));
    assert_eq!(asked(&mut witness, at(2_600)).len(), 0);
}
