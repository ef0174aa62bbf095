//! The numbers that can be asked for, and what each is made of.

use super::names;

/// A number of an answer. What each means is in `docs/METRICS.md`, in the query that counts the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::http::stats) enum Metric {
    Visitors,
    NewVisitors,
    ReturningVisitors,
    PageViews,
    Events,
    Sessions,
    EngagedSessions,
    BounceRate,
    EngagementRate,
    DurationMean,
    DurationMedian,
    Engaged,
    EngagedMean,
    PageViewsMean,
    Revenue,
    Transactions,
    RevenueMean,
    Conversions,
    ConvertedVisitors,
    ConversionRate,
}

use Metric::*;

/// A sum or a count over rows, of which metrics are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::http::stats) enum Part {
    Visitors,
    ConvertedVisitors,
    NewVisitors,
    PageViews,
    Events,
    Conversions,
    Revenue,
    Transactions,
    Sessions,
    EngagedSessions,
    Duration,
    DurationMedian,
    Engaged,
    SessionPageViews,
}

impl Metric {
    pub(in crate::http::stats) const ALL: [Self; 20] = [
        Visitors,
        NewVisitors,
        ReturningVisitors,
        PageViews,
        Events,
        Sessions,
        EngagedSessions,
        BounceRate,
        EngagementRate,
        DurationMean,
        DurationMedian,
        Engaged,
        EngagedMean,
        PageViewsMean,
        Revenue,
        Transactions,
        RevenueMean,
        Conversions,
        ConvertedVisitors,
        ConversionRate,
    ];

    pub(in crate::http::stats) fn name(self) -> &'static str {
        match self {
            Visitors => "visitors",
            NewVisitors => "new_visitors",
            ReturningVisitors => "returning_visitors",
            PageViews => "page_views",
            Events => "events",
            Sessions => "sessions",
            EngagedSessions => "engaged_sessions",
            BounceRate => "bounce_rate",
            EngagementRate => "engagement_rate",
            DurationMean => "duration_s_mean",
            DurationMedian => "duration_s_median",
            Engaged => "engaged_s",
            EngagedMean => "engaged_s_mean",
            PageViewsMean => "page_views_mean",
            Revenue => "revenue",
            Transactions => "transactions",
            RevenueMean => "revenue_mean",
            Conversions => "conversions",
            ConvertedVisitors => "converted_visitors",
            ConversionRate => "conversion_rate",
        }
    }

    /// The metric of a name. Fails with words for the sender.
    pub(in crate::http::stats) fn named(name: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|metric| metric.name() == name);
        known.ok_or_else(|| names::unknown("metric", name, Self::ALL.map(Self::name), &ELSEWHERE))
    }

    /// What it is made of.
    pub(in crate::http::stats) fn parts(self) -> &'static [Part] {
        match self {
            Visitors => &[Part::Visitors],
            NewVisitors => &[Part::NewVisitors],
            ReturningVisitors => &[Part::Visitors, Part::NewVisitors],
            PageViews => &[Part::PageViews],
            Events => &[Part::Events],
            Sessions => &[Part::Sessions],
            EngagedSessions => &[Part::EngagedSessions],
            BounceRate | EngagementRate => &[Part::Sessions, Part::EngagedSessions],
            DurationMean => &[Part::Sessions, Part::Duration],
            DurationMedian => &[Part::DurationMedian],
            Engaged => &[Part::Engaged],
            EngagedMean => &[Part::Sessions, Part::Engaged],
            PageViewsMean => &[Part::Sessions, Part::SessionPageViews],
            Revenue => &[Part::Revenue],
            Transactions => &[Part::Transactions],
            RevenueMean => &[Part::Revenue, Part::Transactions],
            Conversions => &[Part::Conversions],
            ConvertedVisitors => &[Part::ConvertedVisitors],
            ConversionRate => &[Part::Visitors, Part::ConvertedVisitors],
        }
    }

    /// The number, of columns with the names of its parts.
    pub(in crate::http::stats) fn sql(self) -> &'static str {
        match self {
            Visitors => "coalesce(visitors, 0)",
            NewVisitors => "coalesce(new_visitors, 0)",
            ReturningVisitors => "coalesce(visitors, 0) - coalesce(new_visitors, 0)",
            PageViews => "coalesce(page_views, 0)",
            Events => "coalesce(events, 0)",
            Sessions => "coalesce(sessions, 0)",
            EngagedSessions => "coalesce(engaged_sessions, 0)",
            BounceRate => "1 - CAST(engaged_sessions AS DOUBLE) / nullif(sessions, 0)",
            EngagementRate => "CAST(engaged_sessions AS DOUBLE) / nullif(sessions, 0)",
            DurationMean => "CAST(duration_s AS DOUBLE) / nullif(sessions, 0)",
            DurationMedian => "duration_s_median",
            Engaged => "coalesce(engaged_s, 0)",
            EngagedMean => "CAST(engaged_s AS DOUBLE) / nullif(sessions, 0)",
            PageViewsMean => "CAST(session_page_views AS DOUBLE) / nullif(sessions, 0)",
            Revenue => "coalesce(revenue, 0)",
            Transactions => "coalesce(transactions, 0)",
            RevenueMean => "CAST(revenue AS DOUBLE) / nullif(transactions, 0)",
            Conversions => "coalesce(conversions, 0)",
            ConvertedVisitors => "coalesce(converted_visitors, 0)",
            ConversionRate => "CAST(converted_visitors AS DOUBLE) / nullif(visitors, 0)",
        }
    }

    /// Whether it is nothing, rather than zero, where nothing happened: a share or a mean.
    pub(in crate::http::stats) fn is_share(self) -> bool {
        matches!(
            self,
            BounceRate
                | EngagementRate
                | DurationMean
                | DurationMedian
                | EngagedMean
                | PageViewsMean
                | RevenueMean
                | ConversionRate
        )
    }

    /// Whether it is of a goal.
    pub(in crate::http::stats) fn is_of_goal(self) -> bool {
        matches!(self, Conversions | ConvertedVisitors | ConversionRate)
    }

    /// Whether it is money, of one currency.
    pub(in crate::http::stats) fn is_money(self) -> bool {
        matches!(self, Revenue | Transactions | RevenueMean)
    }
}

/// What Plausible's Stats API and GA4's Data API call the same.
const ELSEWHERE: [(&str, &str); 28] = [
    ("users", "visitors"),
    ("unique_users", "visitors"),
    ("uniques", "visitors"),
    ("activeUsers", "visitors"),
    ("totalUsers", "visitors"),
    ("new_users", "new_visitors"),
    ("returning_users", "returning_visitors"),
    ("visits", "sessions"),
    ("views", "page_views"),
    ("hits", "page_views"),
    ("screenPageViews", "page_views"),
    ("eventCount", "events"),
    ("bounces", "bounce_rate"),
    ("visit_duration", "duration_s_mean"),
    ("duration", "duration_s_mean"),
    ("averageSessionDuration", "duration_s_mean"),
    ("engaged", "engaged_s"),
    ("engaged_time", "engaged_s"),
    ("time_on_page", "engaged_s_mean"),
    ("userEngagementDuration", "engaged_s"),
    ("views_per_visit", "page_views_mean"),
    ("screenPageViewsPerSession", "page_views_mean"),
    ("total_revenue", "revenue"),
    ("totalRevenue", "revenue"),
    ("purchaseRevenue", "revenue"),
    ("average_revenue", "revenue_mean"),
    ("averagePurchaseRevenue", "revenue_mean"),
    ("ecommercePurchases", "transactions"),
];

impl Part {
    pub(in crate::http::stats) fn name(self) -> &'static str {
        match self {
            Self::Visitors => "visitors",
            Self::ConvertedVisitors => "converted_visitors",
            Self::Conversions => "conversions",
            Self::NewVisitors => "new_visitors",
            Self::PageViews => "page_views",
            Self::Events => "events",
            Self::Revenue => "revenue",
            Self::Transactions => "transactions",
            Self::Sessions => "sessions",
            Self::EngagedSessions => "engaged_sessions",
            Self::Duration => "duration_s",
            Self::DurationMedian => "duration_s_median",
            Self::Engaged => "engaged_s",
            Self::SessionPageViews => "session_page_views",
        }
    }

    /// Its type in SQL.
    pub(in crate::http::stats) fn sql_type(self) -> &'static str {
        match self {
            Self::Revenue => "DECIMAL(38, 4)",
            Self::DurationMedian => "DOUBLE",
            _ => "BIGINT",
        }
    }

    /// Whether it is of sessions, whatever is asked of them. All others are of events, or of the sessions that these are in.
    pub(in crate::http::stats) fn is_of_sessions(self) -> bool {
        self >= Self::Sessions
    }

    /// Whether visitors are told apart for it.
    pub(in crate::http::stats) fn is_of_people(self) -> bool {
        self <= Self::NewVisitors
    }

    /// Whether it is of a goal, which only events reach.
    pub(in crate::http::stats) fn is_of_goal(self) -> bool {
        matches!(self, Self::ConvertedVisitors | Self::Conversions)
    }

    /// Whether only events have it: a session's own `revenue` leaves out money in several currencies.
    pub(in crate::http::stats) fn is_money(self) -> bool {
        matches!(self, Self::Revenue | Self::Transactions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_one_metric_and_names_from_elsewhere_lead_to_one() {
        for metric in Metric::ALL {
            assert_eq!(Metric::named(metric.name()), Ok(metric));
        }
        for (elsewhere, here) in ELSEWHERE {
            assert!(Metric::named(here).is_ok(), "{here}");
            assert_eq!(
                Metric::named(elsewhere).unwrap_err(),
                format!("there is no metric {elsewhere:?}: write {here}")
            );
        }
    }
}
