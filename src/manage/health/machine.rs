//! Whether one backend is alive, judged by its answers.

/// A judge. It takes as many answers in a row as `rise` and `fall` say to change its mind. Who is not known yet is
/// alive with the first answer: a backend is given sessions until it is known to be dead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Machine {
    alive: Option<bool>,
    /// Answers in a row that contradict `alive`; before the first, failures.
    against: u8,
}

impl Machine {
    /// What it believes; `None` before the first answer.
    pub(super) const fn alive(&self) -> Option<bool> {
        self.alive
    }

    /// Hears an answer. True when it changes its mind, or makes it up.
    pub(super) fn hear(&mut self, alive: bool, rise: u8, fall: u8) -> bool {
        if self.alive == Some(alive) {
            self.against = 0;
            return false;
        }
        self.against = self.against.saturating_add(1);
        let needed = match (self.alive, alive) {
            (None, true) => 1,
            (Some(_), true) => rise,
            (_, false) => fall,
        };
        let decided = self.against >= needed;
        if decided {
            *self = Self { alive: Some(alive), against: 0 };
        }
        decided
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What it believes after each answer; `+` alive, `-` dead, `?` not known.
    fn beliefs(answers: &str, rise: u8, fall: u8) -> String {
        let mut machine = Machine::default();
        let hear = |letter| {
            let before = machine.alive();
            let changed = machine.hear(letter == '+', rise, fall);
            assert_eq!(changed, before != machine.alive(), "it tells of every change");
            machine.alive().map_or('?', |alive| if alive { '+' } else { '-' })
        };
        answers.chars().map(hear).collect()
    }

    #[test]
    fn it_takes_several_in_a_row() {
        for (answers, rise, fall, believed) in [
            ("+--+---+", 2, 3, "++++++--"),
            ("--+", 2, 3, "??+"),
            ("---+-+-++-", 2, 3, "??------++"),
            ("+-+-+", 1, 1, "+-+-+"),
            ("-", 100, 100, "?"),
        ] {
            assert_eq!(beliefs(answers, rise, fall), believed, "{answers} rise {rise} fall {fall}");
        }
        let long = "+".to_owned() + &"-".repeat(300);
        assert_eq!(beliefs(&long, 1, 100).chars().filter(|letter| *letter == '+').count(), 100);
    }
}
