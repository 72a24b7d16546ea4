//! The read path: a conformance test of `DaySource`, run against each layer and against the whole stack; collapsing; freshness.

mod collapsing;
mod contract;
mod freshness;
mod layers;
mod stub;
mod versions;

use feishu_pulse::source::Depth;
use rstest::rstest;

use self::layers::Layer;

#[rstest]
#[tokio::test]
async fn a_source_fulfils_the_contract(
    #[values(
        Layer::Feishu,
        Layer::ArchiveTier,
        Layer::FillCache,
        Layer::SingleFlight,
        Layer::ReadCache,
        Layer::NarrowFromWhole,
        Layer::FilteredView,
        Layer::Stack,
        Layer::ViewStack
    )]
    layer: Layer,
    #[values(Depth::Digest, Depth::Rows)] depth: Depth,
) {
    contract::the_requested_day_is_complete(layer, depth).await;
    contract::rows_and_digest_of_a_day_agree(layer, depth).await;
    contract::stored_days_are_found_without_a_load(layer, depth).await;
    contract::loading_again_returns_the_same_rows(layer, depth).await;
    contract::concurrent_loads_return_the_same_rows(layer, depth).await;
    contract::all_waiters_get_the_failure_and_later_loads_succeed(layer, depth).await;
    contract::a_dropped_caller_affects_no_other_caller(layer, depth).await;
    contract::a_forecast_loads_nothing(layer, depth).await;
}
