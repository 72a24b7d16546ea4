//! The single list of a user-day's columns, under the names that callers see.

/// A figure that is summed. Upstream's own fifteen names.
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

/// A yes-or-no of a user-day, one bit of [`Flags`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Flag {
    /// The account has been activated (`user_active_flag`).
    Activated,
    /// The person used any part of Feishu that day (`suite_active_flag`).
    Active,
    /// The person used this feature that day.
    Feature(Feature),
}

/// A part of Feishu whose use is told apart, named as upstream names it.
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
    /// E-mail: upstream has no flag; used when any e-mail counter is above 0.
    Email,
    /// Tasks: upstream has no flag; used when `create_task_num` is above 0.
    Task,
}

/// All flags of one user-day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(u16);

impl Counter {
    /// Every counter, in the order in which they are shown.
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

    /// How many counters there are.
    pub const COUNT: usize = 15;

    /// Upstream's own name, which is ours too.
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

    /// What it counts, in a few words.
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
            Self::EmailSendExtCount => "e-mails sent to outside",
            Self::EmailReceiveExtCount => "e-mails received from outside",
            Self::EmailSendInCount => "e-mails sent inside the company",
            Self::EmailReceiveInCount => "e-mails received from inside the company",
            Self::TotalSearchCount => "search sessions",
            Self::QuickSearchCount => "search sessions over everything",
            Self::TabSearchCount => "search sessions within one kind of thing",
        }
    }

    /// The counter of that name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|counter| counter.name() == name)
    }

    /// The counter's place in arrays over all counters.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Whether it counts e-mails.
    #[must_use]
    pub const fn is_email(self) -> bool {
        self.index() >= Self::EmailSendCount.index() && self.index() <= Self::EmailReceiveInCount.index()
    }
}

impl Feature {
    /// Every feature, in the order in which they are shown.
    pub const ALL: [Self; Self::COUNT] =
        [Self::Im, Self::Docs, Self::Cal, Self::Vc, Self::Search, Self::Email, Self::Task];

    /// How many features there are.
    pub const COUNT: usize = 7;

    /// Upstream's short name.
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

    /// The feature's place in arrays over all features.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl Flag {
    /// Every flag; the features come last, in their own order.
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

    /// How many flags there are.
    pub const COUNT: usize = 2 + Feature::COUNT;

    /// The flag's place in arrays over all flags.
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
    pub const fn has(self, flag: Flag) -> bool {
        self.0 & (1 << flag.index()) != 0
    }

    /// These flags with one set or cleared.
    #[must_use]
    pub const fn with(self, flag: Flag, set: bool) -> Self {
        let bit = 1 << flag.index();
        if set { Self(self.0 | bit) } else { Self(self.0 & !bit) }
    }

    /// The flags with these bits set; bits that are no flag are left out.
    #[must_use]
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits & ((1 << Flag::COUNT) - 1))
    }

    /// The flags as bits: bit [`Flag::index`] is the flag.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_list_is_in_the_order_of_its_indices() {
        assert!(Counter::ALL.iter().enumerate().all(|(at, counter)| counter.index() == at));
        assert!(Feature::ALL.iter().enumerate().all(|(at, feature)| feature.index() == at));
        assert!(Flag::ALL.iter().enumerate().all(|(at, flag)| flag.index() == at));
    }

    #[test]
    fn six_counters_are_of_email() {
        let emails = Counter::ALL.into_iter().filter(|counter| counter.is_email());
        assert!(emails.clone().all(|counter| counter.name().starts_with("email_")));
        assert_eq!(emails.count(), 6);
    }
}
