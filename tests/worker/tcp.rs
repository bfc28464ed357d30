//! The life of a TCP session: how it opens, how it ends, how long it is kept.

use super::{
    counts::Counts,
    frame::{ACK, Body, FIN, PSH, RST, SYN},
    places::{BACK, FAMILIES, FRONT, Family, Legs, Session, open, open_with, plan, plan_on, world},
    world::{Outcome, World},
};
use hitless::{
    session::State::{self, *},
    types::{DropReason, Protocol},
};

const V4: Family = FAMILIES[0];

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Side {
    Client,
    Backend,
}

use Side::{Backend, Client};

/// A segment, and the state after it.
type Step = (Side, u8, State);

fn segment(flags: u8) -> Body {
    Body::Tcp { flags, options: Vec::new(), payload: Vec::new() }
}

/// Sends a segment; it must come through.
#[track_caller]
fn send(world: &mut World, session: &Session, from: Side, flags: u8) -> Outcome {
    let (port, frame, out_port, expected) = match from {
        Client => {
            let frame = session.inbound(world, segment(flags));
            (FRONT, frame.bytes(), BACK, session.at_backend(world, &frame))
        }
        Backend => {
            let frame = session.outbound(world, segment(flags));
            (BACK, frame.bytes(), FRONT, session.at_client(world, &frame))
        }
    };
    let out = world.offer(port, &frame);
    assert_eq!(out.only(out_port), expected.bytes(), "{from:?} {flags:#04x}");
    out
}

#[track_caller]
fn state(world: &mut World, session: &Session) -> State {
    world.session(session.client).state
}

const HANDSHAKE: [Step; 2] = [(Backend, SYN | ACK, Answered), (Client, ACK, Established)];

/// Segments and the state after each, from the client's SYN on.
#[track_caller]
fn live(world: &mut World, client_port: u16, segments: &[Step]) -> Session {
    let session = open(world, V4, Protocol::Tcp, client_port);
    assert_eq!(state(world, &session), Opening);
    go_on(world, &session, segments);
    session
}

#[track_caller]
fn go_on(world: &mut World, session: &Session, segments: &[Step]) {
    for (from, flags, after) in segments {
        send(world, session, *from, *flags);
        assert_eq!(state(world, session), *after, "after {flags:#04x} of {from:?} of {segments:?}");
    }
}

#[test]
fn states_follow_the_segments() {
    let lives: &[&[Step]] = &[
        // Data, then the client closes.
        &[
            (Client, ACK | PSH, Established),
            (Backend, ACK | PSH, Established),
            (Client, FIN | ACK, ClientClosed),
            (Backend, ACK, ClientClosed),
            (Backend, ACK | PSH, ClientClosed),
            (Backend, FIN | ACK, Closing),
            (Client, ACK, Closed),
        ],
        // The backend closes.
        &[
            (Backend, FIN | ACK, BackendClosed),
            (Client, ACK, BackendClosed),
            (Client, FIN | ACK, Closing),
            (Backend, ACK, Closed),
        ],
        // Both at once: FINs cross, then their acknowledgements.
        &[
            (Client, FIN | ACK, ClientClosed),
            (Backend, FIN | ACK, Closing),
            (Client, ACK, Closed),
            (Backend, ACK, Closed),
        ],
        // A FIN sent again is no second side's.
        &[
            (Client, FIN | ACK, ClientClosed),
            (Client, FIN | ACK, ClientClosed),
            (Backend, FIN | ACK, Closing),
            (Client, ACK, Closed),
        ],
        // Data with the FIN.
        &[
            (Client, FIN | ACK | PSH, ClientClosed),
            (Backend, FIN | ACK | PSH, Closing),
            (Client, ACK, Closed),
        ],
        // Resets.
        &[(Client, RST, Reset)],
        &[(Client, RST | ACK, Reset), (Backend, ACK, Reset)],
        &[(Backend, RST, Reset), (Client, ACK, Reset), (Backend, RST, Reset)],
        &[(Client, FIN | ACK, ClientClosed), (Client, RST, Reset)],
        // A challenge: a SYN within a session is answered by an ACK, and nothing changes.
        &[(Client, SYN, Established), (Backend, ACK, Established)],
    ];
    let mut world = world();
    for (client_port, life) in (1000..).zip(lives) {
        let session = live(&mut world, client_port, &HANDSHAKE);
        go_on(&mut world, &session, life);
    }
    // Ends before the handshake is over.
    live(&mut world, 2000, &[(Backend, RST | ACK, Reset)]);
    live(&mut world, 2001, &[(Backend, SYN | ACK, Answered), (Client, RST, Reset)]);
    live(&mut world, 2002, &[(Backend, SYN | ACK, Answered), (Client, FIN | ACK, ClientClosed)]);
    live(
        &mut world,
        2003,
        &[(Backend, SYN | ACK, Answered), (Backend, SYN | ACK, Answered), (Client, ACK, Established)],
    );
    world.assert_balanced();
}

/// A SYN sent again finds the session it opened, and no other is made of it.
#[test]
fn a_syn_sent_again_goes_the_same_way() {
    let mut world = world();
    let session = open(&mut world, V4, Protocol::Tcp, 1000);
    for _ in 0..3 {
        let out = send(&mut world, &session, Client, SYN);
        assert_eq!((out.moved.get("sessions_opened"), out.moved.get("backend_packets")), (0, 1));
    }
    assert_eq!(state(&mut world, &session), Opening);
    assert_eq!(world.sessions().len(), 1);
}

/// Opens again with the tuple of a session that is over: a new session, another local port, the old one ended.
#[track_caller]
fn begins_anew(world: &mut World, old: &Session) -> Session {
    let syn = V4.opening(world, Protocol::Tcp, old.client.port());
    let (new, out) = open_with(world, V4, &syn);
    assert_ne!(new.local, old.local, "the backend may still remember the old one");
    let length = syn.bytes().len();
    let counted = Counts::forwarded(length, length).for_backend(syn.ip().len());
    assert_eq!(out.moved, counted.opened(true).ended(true));
    assert_eq!(state(world, &new), Opening);
    new
}

#[test]
fn a_tuple_in_time_wait_begins_anew() {
    let mut world = world();
    let end = [(Client, FIN | ACK, ClientClosed), (Backend, FIN | ACK, Closing), (Client, ACK, Closed)];
    let old = live(&mut world, 1000, &HANDSHAKE);
    go_on(&mut world, &old, &end);
    let new = begins_anew(&mut world, &old);
    go_on(&mut world, &new, &HANDSHAKE);
    // What is still under way for the old one is nobody's.
    let late = old.outbound(&world, segment(ACK)).bytes();
    let out = world.offer(BACK, &late);
    assert_eq!(out.nothing().moved, Counts::lost(late.len(), DropReason::NoSession));
    assert_eq!(world.sessions().len(), 1);
}

/// The client need not have seen the last acknowledgement pass here: two FINs end a session.
#[test]
fn a_tuple_whose_last_acknowledgement_was_lost_begins_anew() {
    let mut world = world();
    for first in [Client, Backend] {
        let old = live(&mut world, 1000, &HANDSHAKE);
        match first {
            Client => {
                go_on(&mut world, &old, &[(Client, FIN | ACK, ClientClosed), (Backend, FIN | ACK, Closing)])
            }
            Backend => {
                go_on(&mut world, &old, &[(Backend, FIN | ACK, BackendClosed), (Client, FIN | ACK, Closing)])
            }
        }
        let new = begins_anew(&mut world, &old);
        go_on(&mut world, &new, &HANDSHAKE);
        go_on(&mut world, &new, &[(Client, RST, Reset)]);
        let again = begins_anew(&mut world, &new);
        go_on(&mut world, &again, &[(Backend, RST | ACK, Reset)]);
        world.pass_time(6_000);
        assert_eq!(world.sessions().len(), 0);
    }
}

#[test]
fn a_tuple_that_was_reset_begins_anew() {
    let mut world = world();
    for (client_port, from) in [(1000, Client), (1001, Backend)] {
        let old = live(&mut world, client_port, &HANDSHAKE);
        go_on(&mut world, &old, &[(from, RST, Reset)]);
        begins_anew(&mut world, &old);
    }
    // Refused at once, as by a backend that does not listen yet.
    let old = live(&mut world, 1002, &[(Backend, RST | ACK, Reset)]);
    begins_anew(&mut world, &old);
}

/// Only a SYN begins anew, and only the client's.
#[test]
fn nothing_but_a_syn_begins_anew() {
    let mut world = world();
    let session = live(&mut world, 1000, &HANDSHAKE);
    go_on(&mut world, &session, &[(Client, RST, Reset)]);
    for (from, flags) in
        [(Client, ACK), (Client, SYN | ACK), (Client, FIN | ACK), (Backend, SYN), (Backend, ACK)]
    {
        send(&mut world, &session, from, flags);
        assert_eq!(world.session(session.client).local.1, session.local.port());
    }
}

/// How long each state may idle; `nat` and the service say so.
#[test]
fn each_state_has_its_time() {
    let mut world = plan()
        .with(|plan| {
            let times = "[nat]\ntcp_syn_timeout_s = 20\ntcp_fin_timeout_s = 40\ntcp_closed_timeout_s = 10\n";
            plan.config = plan.config.replace("[nat]\n", times);
            plan.config = plan.config.replace("port = 80\n", "port = 80\nidle_timeout_s = 100\n");
        })
        .build();
    let closing = [(Client, FIN | ACK, ClientClosed), (Backend, FIN | ACK, Closing)];
    let cases: &[(&[Step], u64)] = &[
        (&[], 20),
        (&[(Backend, SYN | ACK, Answered)], 20),
        (&HANDSHAKE, 100),
        (&[HANDSHAKE[0], HANDSHAKE[1], closing[0]], 40),
        (&[HANDSHAKE[0], HANDSHAKE[1], (Backend, FIN | ACK, BackendClosed)], 40),
        (&[HANDSHAKE[0], HANDSHAKE[1], closing[0], closing[1]], 10),
        (&[HANDSHAKE[0], HANDSHAKE[1], closing[0], closing[1], (Client, ACK, Closed)], 10),
        (&[(Backend, RST | ACK, Reset)], 10),
    ];
    for (segments, seconds) in cases {
        let session = live(&mut world, 1000, segments);
        let almost = seconds * 1000 - 1000;
        world.pass_time(almost);
        assert_eq!(world.sessions().len(), 1, "after {almost} ms of {seconds} s: {segments:?}");
        let out = world.watch(|world| world.pass_time(1000));
        assert_eq!(out.nothing().moved, Counts::none().ended(true), "after {seconds} s: {segments:?}");
        // What comes later finds nothing, but for a SYN.
        world.run(20);
        let late = session.inbound(&world, segment(ACK)).bytes();
        let out = world.offer(FRONT, &late);
        assert_eq!(out.nothing().moved, Counts::lost(late.len(), DropReason::NoSession));
    }
}

/// Traffic of either side keeps a session.
#[test]
fn traffic_keeps_a_session() {
    let mut world = plan()
        .with(|plan| plan.config = plan.config.replace("port = 80\n", "port = 80\nidle_timeout_s = 10\n"))
        .build();
    let session = live(&mut world, 1000, &HANDSHAKE);
    for from in [Client, Backend, Backend, Client] {
        world.pass_time(9_000);
        send(&mut world, &session, from, ACK);
    }
    world.pass_time(11_000);
    assert_eq!(world.sessions().len(), 0);
}

/// A forged reset takes nothing from a session that lives on.
#[test]
fn a_forged_reset_ends_nothing_while_packets_come() {
    let mut world = world();
    let session = live(&mut world, 1000, &HANDSHAKE);
    send(&mut world, &session, Client, RST);
    for _ in 0..5 {
        world.pass_time(3_000);
        send(&mut world, &session, Backend, ACK | PSH);
        send(&mut world, &session, Client, ACK);
    }
}

/// Packets and bytes of both directions stand in the session.
#[test]
fn a_session_counts_its_packets() {
    let mut world = world();
    let session = live(&mut world, 1000, &HANDSHAKE);
    let record = world.session(session.client);
    assert_eq!((record.packets, record.bytes), (3, 120));
    assert_eq!(record.client, (session.client.ip(), session.client.port()));
    assert_eq!(record.vip, (session.vip.ip(), session.vip.port()));
    assert_eq!(record.local, (session.local.ip(), session.local.port()));
    assert_eq!(record.backend, (session.backend.ip(), session.backend.port()));
    assert_eq!(record.protocol, Protocol::Tcp);
}

/// Neither end sends segments that a port would not take: the smaller MTU of the two counts, whichever way a SYN goes and
/// however often.
#[test]
fn ends_agree_on_segments_that_both_ports_take() {
    for (family, most) in FAMILIES.into_iter().zip([1360, 1340]) {
        let mut world = plan_on(Legs { mtus: [1500, 1400], ..Legs::default() }).build();
        let wants = |flags: u8, mss: u16| {
            let [high, low] = mss.to_be_bytes();
            Body::Tcp { flags, options: vec![4, 2, 1, 2, 4, high, low, 0], payload: Vec::new() }
        };
        let session = open(&mut world, family, Protocol::Tcp, 1000);
        for (offered, agreed) in [(9000, most), (most + 1, most), (most, most), (536, 536)] {
            let syn = session.inbound(&world, wants(SYN, offered)).bytes();
            let expected = session.at_backend(&world, &session.inbound(&world, wants(SYN, agreed)));
            assert_eq!(world.offer(FRONT, &syn).only(BACK), expected.bytes());
        }
        for (offered, agreed) in [(1460, most), (1220, 1220)] {
            let answer = session.outbound(&world, wants(SYN | ACK, offered)).bytes();
            let expected = session.at_client(&world, &session.outbound(&world, wants(SYN | ACK, agreed)));
            assert_eq!(world.offer(BACK, &answer).only(FRONT), expected.bytes());
        }
    }
}
