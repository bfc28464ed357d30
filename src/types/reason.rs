//! Lists of reasons: each has a value, a name for metrics and tables, and a line for people.

/// Declares an enum of reasons, `Variant = "name", "line for people";`. Its values count from 0, in their order.
macro_rules! reasons {
    ($(#[$about:meta])* $see:vis enum $reason:ident { $($variant:ident = $name:literal, $text:literal;)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        $see enum $reason {
            $(#[doc = $text] $variant,)*
        }

        impl $reason {
            /// Every reason, in the order of their values.
            $see const ALL: &'static [Self] = &[$(Self::$variant),*];
            /// How many there are.
            $see const COUNT: usize = Self::ALL.len();

            /// Its short name: metric label, JSON key, table row.
            $see const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// One line for people.
            $see const fn description(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        const _: () = assert!($crate::types::reason::are_distinct_words(&[$($name),*]), "names of reasons");
    };
}

/// Declares reasons for which something is refused, as errors, and a counter for each: `enum Reason, counted by Counts { ... }`.
macro_rules! refusals {
    ($(#[$about:meta])* $see:vis enum $reason:ident, counted by $counts:ident { $($list:tt)* }) => {
        $crate::types::reason::reasons! { $(#[$about])* $see enum $reason { $($list)* } }

        impl std::fmt::Display for $reason {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.description())
            }
        }

        impl std::error::Error for $reason {}

        /// A counter for each reason.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $see struct $counts([u64; $reason::COUNT]);

        impl Default for $counts {
            fn default() -> Self {
                Self([0; $reason::COUNT])
            }
        }

        impl $counts {
            /// How many were refused for this reason.
            $see const fn count(&self, reason: $reason) -> u64 {
                self.0[reason as usize]
            }

            /// How many were refused in all.
            $see fn total(&self) -> u64 {
                self.0.iter().sum()
            }

            /// Each reason with its count.
            $see fn iter(&self) -> impl Iterator<Item = ($reason, u64)> {
                $reason::ALL.iter().copied().zip(self.0)
            }

            /// Counts one.
            $see const fn add(&mut self, reason: $reason) {
                self.0[reason as usize] += 1;
            }
        }
    };
}

pub(crate) use {reasons, refusals};

/// Whether all are of small letters, digits and underscores, and no two are alike.
pub(crate) const fn are_distinct_words(words: &[&str]) -> bool {
    let mut at = 0;
    while at < words.len() {
        let mut before = 0;
        while before < at {
            if are_alike(words[before].as_bytes(), words[at].as_bytes()) {
                return false;
            }
            before += 1;
        }
        if !is_word(words[at].as_bytes()) {
            return false;
        }
        at += 1;
    }
    true
}

const fn is_word(bytes: &[u8]) -> bool {
    let mut at = 0;
    while at < bytes.len() {
        if !(bytes[at].is_ascii_lowercase() || bytes[at].is_ascii_digit() || bytes[at] == b'_') {
            return false;
        }
        at += 1;
    }
    !bytes.is_empty()
}

const fn are_alike(one: &[u8], other: &[u8]) -> bool {
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    refusals! {
        /// Why a door stays shut.
        enum Shut, counted by Visitors {
            Night = "night", "nobody opens at night";
            TooTall = "too_tall", "taller than the door";
        }
    }

    #[test]
    fn each_reason_has_its_counter() {
        let mut visitors = Visitors::default();
        for (index, reason) in Shut::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
            visitors.add(*reason);
            assert_eq!(visitors.count(*reason), 1);
        }
        visitors.add(Shut::TooTall);
        assert_eq!(visitors.total(), 3);
        assert!(visitors.iter().eq([(Shut::Night, 1), (Shut::TooTall, 2)]));
        assert_eq!(
            (Shut::TooTall.name(), Shut::TooTall.to_string().as_str()),
            ("too_tall", "taller than the door")
        );
    }

    #[test]
    fn names_are_words_and_differ() {
        assert!(are_distinct_words(&["a", "ab", "b_2"]));
        for wrong in [&["a", "b", "a"][..], &["a", ""], &["A"], &["a b"]] {
            assert!(!are_distinct_words(wrong), "{wrong:?}");
        }
    }
}
