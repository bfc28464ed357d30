//! Kinds of values that are one of a few words.

use super::kind::{Kind, either, quote, wrong};
use crate::types::Protocol;
use toml::de::DeValue;

/// One of a few words.
pub(super) trait Word: Copy + PartialEq + 'static {
    /// Those that work.
    const ALL: &'static [Self];
    /// Those that are known but do not work yet.
    const LATER: &'static [&'static str];

    /// How it is spelled.
    fn word(self) -> &'static str;
}

/// One of the words of `T`.
pub(super) struct OneOf;

impl<T: Word> Kind<T> for OneOf {
    fn read(&self, value: &DeValue<'_>) -> Result<T, String> {
        let text = value.as_str();
        let found = T::ALL.iter().copied().find(|choice| Some(choice.word()) == text);
        found.ok_or_else(|| match text.filter(|text| T::LATER.contains(text)) {
            Some(text) => format!("{} is not built yet", quote(text)),
            None => wrong(value),
        })
    }

    fn write(&self, value: &T) -> Option<String> {
        Some(quote(value.word()))
    }

    fn allowed(&self) -> String {
        either(T::ALL.iter().map(|choice| quote(choice.word())))
    }
}

/// Declares a type of words, each spelled once. `later` lists words that are known but do not work yet.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$note:meta])* $variant:ident = $word:literal,)* } later $later:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$note])* $variant,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// As the configuration spells it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl $crate::config::word::Word for $name {
            const ALL: &'static [Self] = Self::ALL;
            const LATER: &'static [&'static str] = &$later;

            fn word(self) -> &'static str {
                self.name()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }
    };
}
pub(super) use words;

impl Word for Protocol {
    const ALL: &'static [Self] = &Self::ALL;
    const LATER: &'static [&'static str] = &[];

    fn word(self) -> &'static str {
        self.name()
    }
}
