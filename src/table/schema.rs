//! The counters, features and flags of a row.

/// A counter of Feishu. Reports sum counters over people and days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "each is documented by `describe`, which also goes into the OpenAPI document")]
pub enum Counter {
    SendMessengerNum,
    CreateDocsNum,
    CreateCalNum,
    VcDuration,
    VcNum,
    CreateTaskNum,
    EmailSendCount,
    EmailReceiveCount,
    EmailSendExtCount,
    EmailReceiveExtCount,
    EmailSendInCount,
    EmailReceiveInCount,
    TotalSearchCount,
    QuickSearchCount,
    TabSearchCount,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
    /// E-mail. Feishu has no flag for it: it is used if any e-mail counter is above 0.
    Email,
    /// Tasks. Feishu has no flag for it: it is used if `create_task_num` is above 0.
    Task,
}

/// The flags of one row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(u16);

impl Counter {
    /// All counters, in the order of the output.
    pub const ALL: [Self; Self::COUNT] = [
        Self::SendMessengerNum,
        Self::CreateDocsNum,
        Self::CreateCalNum,
        Self::VcDuration,
        Self::VcNum,
        Self::CreateTaskNum,
        Self::EmailSendCount,
        Self::EmailReceiveCount,
        Self::EmailSendExtCount,
        Self::EmailReceiveExtCount,
        Self::EmailSendInCount,
        Self::EmailReceiveInCount,
        Self::TotalSearchCount,
        Self::QuickSearchCount,
        Self::TabSearchCount,
    ];

    /// The number of counters.
    pub const COUNT: usize = 15;

    /// The name of the counter, in Feishu's API and in this one.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SendMessengerNum => "send_messenger_num",
            Self::CreateDocsNum => "create_docs_num",
            Self::CreateCalNum => "create_cal_num",
            Self::VcDuration => "vc_duration",
            Self::VcNum => "vc_num",
            Self::CreateTaskNum => "create_task_num",
            Self::EmailSendCount => "email_send_count",
            Self::EmailReceiveCount => "email_receive_count",
            Self::EmailSendExtCount => "email_send_ext_count",
            Self::EmailReceiveExtCount => "email_receive_ext_count",
            Self::EmailSendInCount => "email_send_in_count",
            Self::EmailReceiveInCount => "email_receive_in_count",
            Self::TotalSearchCount => "total_search_count",
            Self::QuickSearchCount => "quick_search_count",
            Self::TabSearchCount => "tab_search_count",
        }
    }

    /// A short description of what is counted.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::SendMessengerNum => "messages sent",
            Self::CreateDocsNum => "documents created",
            Self::CreateCalNum => "calendar events created",
            Self::VcDuration => "minutes in meetings (meeting rooms not counted)",
            Self::VcNum => "meetings",
            Self::CreateTaskNum => "tasks created",
            Self::EmailSendCount => "e-mails sent",
            Self::EmailReceiveCount => "e-mails received",
            Self::EmailSendExtCount => "e-mails sent to recipients outside the company",
            Self::EmailReceiveExtCount => "e-mails received from senders outside the company",
            Self::EmailSendInCount => "e-mails sent to recipients inside the company",
            Self::EmailReceiveInCount => "e-mails received from senders inside the company",
            Self::TotalSearchCount => "search sessions",
            Self::QuickSearchCount => "search sessions over all kinds of content",
            Self::TabSearchCount => "search sessions within one kind of content",
        }
    }

    /// The counter with this name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|counter| counter.name() == name)
    }

    /// The index of the counter in arrays of length [`Counter::COUNT`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Whether the counter counts e-mails.
    #[must_use]
    pub const fn is_email(self) -> bool {
        self.index() >= Self::EmailSendCount.index() && self.index() <= Self::EmailReceiveInCount.index()
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
    pub const fn name(self) -> &'static str {
        match self {
            Self::Im => "im",
            Self::Docs => "docs",
            Self::Cal => "cal",
            Self::Vc => "vc",
            Self::Search => "search",
            Self::Email => "email",
            Self::Task => "task",
        }
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
        assert!(Counter::ALL.iter().enumerate().all(|(index, counter)| counter.index() == index));
        assert!(Feature::ALL.iter().enumerate().all(|(index, feature)| feature.index() == index));
        assert!(Flag::ALL.iter().enumerate().all(|(index, flag)| flag.index() == index));
    }

    #[test]
    fn six_counters_count_emails() {
        let emails = Counter::ALL.into_iter().filter(|counter| counter.is_email());
        assert!(emails.clone().all(|counter| counter.name().starts_with("email_")));
        assert_eq!(emails.count(), 6);
    }
}
