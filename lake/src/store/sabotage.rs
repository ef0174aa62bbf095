//! Ways to break the protocol on purpose. Tests use them to show that the simulation notices.
//!
//! Only the feature `sabotage` can switch one on, and only tests enable that feature.

/// One way to break the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// A snapshot loads the log before it lists the raw tier.
    LogBeforeListing,
    /// A commit whose put failed is made again as the next version, without a look at what is there.
    CommitWithoutReadingBack,
    /// A commit ignores what others committed since its plan.
    NoConflictRule,
    /// A commit is not void by a list of erasures that was named since its plan.
    ErasuresUnseen,
    /// A commit that created a version of a cleaned log takes it for the next one.
    LateCommitsTrusted,
}
