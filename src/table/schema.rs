//! The counters, features and flags of a row.

use strum::IntoStaticStr;

/// The table of Feishu's counters, in the order of the output. Everything that concerns a counter is derived from this
/// table. A row has the counter's variant of [`Counter`], its name in Feishu's API and in this one, the feature that it
/// measures, its [`Notation`] and its description.
///
/// Expands to `$then! { rows }`.
macro_rules! with_counter_table {
    ($then:ident) => {
        $then! {
            SendMessengerNum, send_messenger_num, Im, Number, "messages sent";
            CreateDocsNum, create_docs_num, Docs, Number, "documents created";
            CreateCalNum, create_cal_num, Cal, Number, "calendar events created";
            VcDuration, vc_duration, Vc, Number, "minutes in meetings (meeting rooms not counted)";
            VcNum, vc_num, Vc, Number, "meetings";
            CreateTaskNum, create_task_num, Task, Number, "tasks created";
            EmailSendCount, email_send_count, Email, Text, "e-mails sent";
            EmailReceiveCount, email_receive_count, Email, Text, "e-mails received";
            EmailSendExtCount, email_send_ext_count, Email, Text, "e-mails sent to recipients outside the company";
            EmailReceiveExtCount, email_receive_ext_count, Email, Text, "e-mails received from senders outside the company";
            EmailSendInCount, email_send_in_count, Email, Text, "e-mails sent to recipients inside the company";
            EmailReceiveInCount, email_receive_in_count, Email, Text, "e-mails received from senders inside the company";
            TotalSearchCount, total_search_count, Search, Text, "search sessions";
            QuickSearchCount, quick_search_count, Search, Text, "search sessions over all kinds of content";
            TabSearchCount, tab_search_count, Search, Text, "search sessions within one kind of content";
        }
    };
}
pub(crate) use with_counter_table;

macro_rules! define_counter {
    ($($variant:ident, $name:ident, $feature:ident, $notation:ident, $description:literal;)*) => {
        /// A counter of Feishu. Reports sum counters over people and days.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Counter {
            $(#[doc = $description] $variant,)*
        }

        impl Counter {
            /// All counters, in the order of the output.
            pub const ALL: [Self; Self::COUNT] = [$(Self::$variant),*];

            /// The number of counters.
            pub const COUNT: usize = [$($description),*].len();

            /// The name of the counter, in Feishu's API and in this one.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => stringify!($name),)* }
            }

            /// A short description of what is counted.
            #[must_use]
            pub const fn describe(self) -> &'static str {
                match self { $(Self::$variant => $description,)* }
            }

            /// The feature that the counter measures.
            #[must_use]
            pub const fn feature(self) -> Feature {
                match self { $(Self::$variant => Feature::$feature,)* }
            }

            /// The notation of the counter in Feishu's replies.
            #[must_use]
            pub const fn notation(self) -> Notation {
                match self { $(Self::$variant => Notation::$notation,)* }
            }
        }
    };
}
with_counter_table!(define_counter);

/// The largest value of a counter and of a sum of counters: 2^63 − 1. Parquet readers such as Spark have no larger integers.
pub const MAX_COUNT: u64 = i64::MAX.cast_unsigned();

/// How Feishu documents the value of a counter in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notation {
    /// As a number: `7`.
    Number,
    /// As a string: `"7"`.
    Text,
}

/// A boolean of a row, stored as one bit of [`Flags`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Flag {
    /// The account has been activated (Feishu's `user_active_flag`).
    Activated,
    /// The person used any feature of Feishu on that day (Feishu's `suite_active_flag`).
    Active,
    /// The person used this feature on that day.
    Feature(Feature),
}

/// A feature of Feishu with its own activity flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
#[repr(u8)]
pub enum Feature {
    /// Messages (`im_active_flag`).
    Im,
    /// Documents (`docs_active_flag`).
    Docs,
    /// Calendar (`cal_active_flag`).
    Cal,
    /// Meetings (`vc_active_flag`).
    Vc,
    /// Search (`search_active_flag`).
    Search,
    /// E-mail. Feishu has no flag for it: a person used it on a day on which the person sent one.
    Email,
    /// Tasks. Feishu has no flag for it: a person used it on a day on which the person created one.
    Task,
}

/// The flags of one row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(u16);

impl Counter {
    /// The counter with this name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|counter| counter.name() == name)
    }

    /// Whether the counter counts something that the person did. A received e-mail is not use of e-mail.
    #[must_use]
    pub const fn shows_use(self) -> bool {
        !matches!(self, Self::EmailReceiveCount | Self::EmailReceiveExtCount | Self::EmailReceiveInCount)
    }

    /// The index of the counter in arrays of length [`Counter::COUNT`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl Feature {
    /// All features, in the order of the output.
    pub const ALL: [Self; Self::COUNT] =
        [Self::Im, Self::Docs, Self::Cal, Self::Vc, Self::Search, Self::Email, Self::Task];

    /// The number of features.
    pub const COUNT: usize = 7;

    /// Feishu's short name of the feature.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The index of the feature in arrays of length [`Feature::COUNT`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl Flag {
    /// All flags. The features are last, in the order of [`Feature::ALL`].
    pub const ALL: [Self; Self::COUNT] = [
        Self::Activated,
        Self::Active,
        Self::Feature(Feature::Im),
        Self::Feature(Feature::Docs),
        Self::Feature(Feature::Cal),
        Self::Feature(Feature::Vc),
        Self::Feature(Feature::Search),
        Self::Feature(Feature::Email),
        Self::Feature(Feature::Task),
    ];

    /// The number of flags.
    pub const COUNT: usize = 2 + Feature::COUNT;

    /// The flags that Feishu sends, which are all but those for e-mail and tasks.
    pub const SENT: [Self; 7] = *Self::ALL.first_chunk().expect("there are more than seven flags");

    /// The index of the flag in arrays of length [`Flag::COUNT`].
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Activated => 0,
            Self::Active => 1,
            Self::Feature(feature) => 2 + feature.index(),
        }
    }
}

impl Flags {
    /// Whether the flag is set.
    #[must_use]
    pub const fn contains(self, flag: Flag) -> bool {
        self.0 & (1 << flag.index()) != 0
    }

    /// The same flags, with `flag` set or cleared.
    #[must_use]
    pub const fn with(self, flag: Flag, set: bool) -> Self {
        let bit = 1 << flag.index();
        if set { Self(self.0 | bit) } else { Self(self.0 & !bit) }
    }

    /// The flags that are set in either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The flags with these bits. Bits without a flag are ignored.
    #[must_use]
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits & ((1 << Flag::COUNT) - 1))
    }

    /// The flags as bits. The bit number of a flag is [`Flag::index`].
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_lists_are_in_the_order_of_their_indices() {
        assert!(Feature::ALL.iter().enumerate().all(|(index, feature)| feature.index() == index));
        assert!(Flag::ALL.iter().enumerate().all(|(index, flag)| flag.index() == index));
    }

    #[test]
    fn every_flag_that_is_not_sent_has_counters() {
        for flag in Flag::ALL.into_iter().filter(|flag| !Flag::SENT.contains(flag)) {
            let shows_use = |counter: Counter| counter.shows_use() && Flag::Feature(counter.feature()) == flag;
            assert!(Counter::ALL.into_iter().any(shows_use), "{flag:?}");
        }
    }
}
