//! What holds for any text at all: no panic, and only mistakes that are in the text.

use crate::config::{Config, Machine};
use proptest::{collection::vec, prelude::*, sample::select};

const EXAMPLES: [&str; 2] =
    [include_str!("../../../config/single.toml"), include_str!("../../../config/pair.toml")];

/// Pieces of documents, right and wrong, between bars.
const PIECES: &str = "[|]|[[|]]|{|}|=|,|.|\"|'|\"\"\"|#|\n|\r\n|\r| |\t|\\|\0|\u{feff}|é|€|0|-1|80|0x1f|1e3|inf|true|\
    99999999999999999999|1979-05-27|node|cores|port|route|nat|service|ha|api|bfd|instance|health|sync|backends|\
    name = \"a\"\n|vip = \"10.77.0.100\"\n|port = \"1-2\"\n|port = 80\n|peer = \"10.77.0.12\"\n|\
    addresses = [\"10.77.0.11/24\"]\n|device = \"net_x\"\n|workers = [1, 1]\n|local_addresses = [\"10.77.0.1\"]\n|\
    backends = [{ address = \"10.77.0.2\" }]\n|[[port]]\n|[[service]]\n|[service.health]\n|[ha]\n|[nat]\n|\
    [[ha.bfd]]\n|[[ha.instance]]\n|type = \"http\"\n|local = \"10.77.0.11\"\n|remote = \"::\"\n";

fn piece() -> impl Strategy<Value = &'static str> {
    select(PIECES.split('|').collect::<Vec<_>>())
}

/// Checks `text` and what is said of it.
fn examine(text: &str) {
    let machine = Machine::with_cores(4);
    let checked = Config::check(text, "lb.toml", &machine);
    match checked.config {
        Ok(config) => {
            let shown = config.show();
            assert_eq!(Config::parse(&shown, "shown", &machine), Ok(config), "{shown}");
        }
        Err(mistakes) => {
            assert!(!mistakes.0.is_empty());
            assert_eq!(mistakes.to_string().lines().count(), mistakes.0.len(), "{mistakes}");
            let places: Vec<_> = mistakes.0.iter().map(|mistake| (mistake.line, mistake.column)).collect();
            assert!(places.is_sorted(), "{mistakes}");
            let lines: Vec<&str> = text.split('\n').collect();
            for (line, column) in places {
                let length = lines[line as usize - 1].chars().count();
                assert!(column >= 1 && column as usize <= length + 1, "{line}:{column}\n{mistakes}");
            }
        }
    }
}

/// An example in which some stretches are gone, twice there, or replaced.
fn damaged() -> impl Strategy<Value = String> {
    let damage = (any::<prop::sample::Index>(), 0..40_usize, 0..3_u8, piece());
    (select(&EXAMPLES), vec(damage, 1..6)).prop_map(|(text, damages)| {
        let mut letters: Vec<char> = text.chars().collect();
        for (at, length, kind, piece) in damages {
            let start = at.index(letters.len());
            let end = (start + length).min(letters.len());
            let twice = letters[start..end].to_vec();
            match kind {
                0 => _ = letters.splice(start..end, []),
                1 => _ = letters.splice(start..start, twice),
                _ => _ = letters.splice(start..end, piece.chars()),
            }
        }
        letters.into_iter().collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_text_is_examined_without_panic(text in any::<String>()) {
        examine(&text);
    }

    #[test]
    fn any_pieces_are_examined_without_panic(pieces in vec(piece(), 0..60)) {
        examine(&pieces.concat());
    }

    #[test]
    fn damaged_examples_are_examined_without_panic(text in damaged()) {
        examine(&text);
    }
}

#[test]
fn every_line_of_the_examples_can_be_lost() {
    for text in EXAMPLES {
        let lines: Vec<&str> = text.lines().collect();
        for lost in 0..lines.len() {
            let rest: Vec<&str> =
                lines.iter().enumerate().filter(|(i, _)| *i != lost).map(|(_, l)| *l).collect();
            examine(&rest.join("\n"));
        }
    }
}
